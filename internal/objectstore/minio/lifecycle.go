package minio

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// minimumSizeHeader stands beside the rules on AWS: whether small objects are
// moved, too. Rules written without it reset it.
const minimumSizeHeader = "X-Amz-Transition-Default-Minimum-Object-Size"

// ruleSet is the lifecycle of a bucket as the server has it.
type ruleSet struct {
	rules       []element
	minimumSize string
}

func (s *store) readLifecycle(ctx context.Context) (ruleSet, error) {
	document, header, err := s.read(ctx, lifecycle)
	if err != nil || document == nil {
		return ruleSet{}, err
	}
	root, err := parseElement(document)
	if err != nil || root.name != "LifecycleConfiguration" || len(root.children) > objectstore.MaxLifecycleRules {
		return ruleSet{}, &objectstore.Error{Op: objectstore.OpGetLifecycle, Err: unexpected(document)}
	}
	set := ruleSet{minimumSize: header.Get(minimumSizeHeader)}
	for _, c := range root.children {
		// MinIO tells in an element of its own when the rules were changed.
		if c.name == "Rule" {
			set.rules = append(set.rules, c)
		}
	}
	return set, nil
}

// Lifecycle implements objectstore.Admin.
func (s *store) Lifecycle(ctx context.Context) ([]objectstore.LifecycleRule, error) {
	set, err := s.readLifecycle(ctx)
	if err != nil {
		return nil, err
	}
	var rules []objectstore.LifecycleRule
	for _, e := range set.rules {
		rules = append(rules, describeRule(e))
	}
	return rules, nil
}

// SetLifecycle implements objectstore.Admin.
func (s *store) SetLifecycle(ctx context.Context, owner string, rules []objectstore.LifecycleRule) error {
	if err := objectstore.CheckLifecycle(owner, rules); err != nil {
		return &objectstore.Error{Op: objectstore.OpSetLifecycle, Err: err}
	}
	before, err := s.readLifecycle(ctx)
	if err != nil {
		return err
	}
	ours, foreign := before.split(owner)
	if sameRules(ours, rules) {
		return nil
	}
	if len(foreign)+len(rules) == 0 {
		err = s.remove(ctx, lifecycle)
	} else {
		err = s.writeLifecycle(ctx, foreign, rules, before.minimumSize)
	}
	if err != nil {
		return err
	}
	after, err := s.readLifecycle(ctx)
	if err != nil {
		return err
	}
	if err := after.check(owner, rules, foreign); err != nil {
		return &objectstore.Error{Op: objectstore.OpSetLifecycle, Err: err}
	}
	return nil
}

// check compares what the server has with what was written.
func (set ruleSet) check(owner string, rules []objectstore.LifecycleRule, foreign []element) error {
	ours, others := set.split(owner)
	if !slices.Equal(canonical(foreign), canonical(others)) || len(ours) != len(rules) {
		return objectstore.ErrChanged
	}
	for _, r := range rules {
		if !slices.ContainsFunc(ours, func(e element) bool { id, _ := e.child("ID"); return id.text == r.ID }) {
			return objectstore.ErrChanged
		}
	}
	if !sameRules(ours, rules) {
		return objectstore.ErrNotKept
	}
	return nil
}

func (s *store) writeLifecycle(ctx context.Context, foreign []element, rules []objectstore.LifecycleRule, minimumSize string) error {
	// S3 refuses rules of the old form, without a filter, beside those with one.
	oldForm := slices.ContainsFunc(foreign, func(e element) bool { _, ok := e.child("Prefix"); return ok })
	root := element{name: "LifecycleConfiguration", children: slices.Clone(foreign)}
	for _, r := range rules {
		root.children = append(root.children, encodeRule(r, oldForm))
	}
	var b bytes.Buffer
	root.append(&b, namespace)
	header := http.Header{}
	if minimumSize != "" {
		header.Set(minimumSizeHeader, minimumSize)
	}
	return s.write(ctx, lifecycle, b.Bytes(), header)
}

// split tells the rules of owner from those of others.
func (set ruleSet) split(owner string) (ours, foreign []element) {
	for _, e := range set.rules {
		if id, _ := e.child("ID"); strings.HasPrefix(id.text, owner) {
			ours = append(ours, e)
		} else {
			foreign = append(foreign, e)
		}
	}
	return ours, foreign
}

func canonical(rules []element) []string {
	list := make([]string, len(rules))
	for i, e := range rules {
		list[i] = e.canonical()
	}
	slices.Sort(list)
	return list
}

// sameRules compares rules in any order.
func sameRules(have []element, want []objectstore.LifecycleRule) bool {
	if len(have) != len(want) {
		return false
	}
	for _, e := range have {
		if !slices.Contains(want, describeRule(e)) {
			return false
		}
	}
	return true
}

func leaf(name, text string) element { return element{name: name, text: text} }

func days(name string, n int) element { return leaf(name, strconv.Itoa(n)) }

func encodeRule(r objectstore.LifecycleRule, oldForm bool) element {
	status := "Disabled"
	if r.Enabled {
		status = "Enabled"
	}
	e := element{name: "Rule", children: []element{leaf("ID", r.ID)}}
	add := func(name string, children ...element) {
		e.children = append(e.children, element{name: name, children: children})
	}
	if oldForm {
		e.children = append(e.children, leaf("Prefix", r.Prefix))
	} else {
		add("Filter", leaf("Prefix", r.Prefix))
	}
	e.children = append(e.children, leaf("Status", status))
	if r.StorageClass != "" {
		add("Transition", days("Days", r.TransitionDays), leaf("StorageClass", r.StorageClass))
	}
	if r.ExpireDays > 0 {
		add("Expiration", days("Days", r.ExpireDays))
	}
	if r.NoncurrentExpireDays > 0 {
		add("NoncurrentVersionExpiration", days("NoncurrentDays", r.NoncurrentExpireDays))
	}
	if r.AbortMultipartDays > 0 {
		add("AbortIncompleteMultipartUpload", days("DaysAfterInitiation", r.AbortMultipartDays))
	}
	return e
}

// describeRule reads as much of a rule as objectstore.LifecycleRule shows, and
// says whether that was all.
func describeRule(e element) objectstore.LifecycleRule {
	var r objectstore.LifecycleRule
	seen := make(map[string]bool, len(e.children))
	for _, c := range e.children {
		known := !seen[c.name]
		seen[c.name] = true
		switch c.name {
		case "ID":
			r.ID = c.text
		case "Prefix":
			r.Prefix = c.text
		case "Filter":
			known = known && readFilter(c, &r.Prefix)
		case "Status":
			r.Enabled = c.text == "Enabled"
		case "Expiration":
			known = known && readDays(c, "Days", &r.ExpireDays, nil)
		case "NoncurrentVersionExpiration":
			known = known && readDays(c, "NoncurrentDays", &r.NoncurrentExpireDays, nil)
		case "AbortIncompleteMultipartUpload":
			known = known && readDays(c, "DaysAfterInitiation", &r.AbortMultipartDays, nil)
		case "Transition":
			known = known && readDays(c, "Days", &r.TransitionDays, &r.StorageClass)
		default:
			known = false
		}
		if !known {
			r.Partial = true
		}
	}
	return r
}

// readFilter reads the prefix of a filter, and reports whether that was all.
func readFilter(e element, prefix *string) bool {
	whole := true
	for _, c := range e.children {
		switch {
		case c.name == "Prefix":
			*prefix = c.text
		case c.name == "And":
			for _, c := range c.children {
				if c.name == "Prefix" {
					*prefix = c.text
				} else {
					whole = false
				}
			}
		default:
			whole = false
		}
	}
	return whole
}

// readDays reads an action, and reports whether it has nothing else.
func readDays(e element, name string, n *int, class *string) bool {
	whole := true
	for _, c := range e.children {
		switch {
		case c.name == name:
			d, err := strconv.Atoi(c.text)
			if err != nil || d < 0 || d > objectstore.MaxLifecycleDays {
				whole = false
				continue
			}
			*n = d
		case c.name == "StorageClass" && class != nil:
			*class = c.text
		case c.text == "false": // a switch that is off
		default:
			whole = false
		}
	}
	return whole
}
