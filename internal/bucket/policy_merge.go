package bucket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// JSON is p as people write policies.
func (p Policy) JSON() string {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		panic(err) // of strings and lists of them, which cannot fail
	}
	return string(b) + "\n"
}

// document is a policy of whomever. What is not a statement of ours stays as it
// was written.
type document struct {
	fields     map[string]json.RawMessage
	statements []json.RawMessage
}

const statementField = "Statement"

func parsePolicy(text string) (document, error) {
	d := document{fields: map[string]json.RawMessage{}}
	if text == "" {
		return d, nil
	}
	unreadable := errors.New("the bucket has a policy that is not understood; look at it, and add the statements by hand")
	if json.Unmarshal([]byte(text), &d.fields) != nil || d.fields == nil {
		return document{}, unreadable
	}
	switch raw := bytes.TrimSpace(d.fields[statementField]); {
	case len(raw) == 0:
	case raw[0] == '{': // one alone needs no list
		d.statements = []json.RawMessage{raw}
	case json.Unmarshal(raw, &d.statements) != nil:
		return document{}, unreadable
	}
	for _, s := range d.statements {
		var fields map[string]json.RawMessage
		if json.Unmarshal(s, &fields) != nil || fields == nil {
			return document{}, unreadable
		}
	}
	return d, nil
}

func sidOf(statement json.RawMessage) string {
	var s struct{ Sid string }
	_ = json.Unmarshal(statement, &s) // one that is no text is none of ours
	return s.Sid
}

// Merge puts the statements of p into the policy that a bucket has: in the place
// of those with their Sids, or behind all others, which stay as they are. others
// is how many stay. An empty policy is none.
func Merge(policy string, p Policy) (merged string, others int, err error) {
	d, err := parsePolicy(policy)
	if err != nil {
		return "", 0, err
	}
	kept := slices.DeleteFunc(slices.Clone(d.statements), func(s json.RawMessage) bool { return p.has(sidOf(s)) })
	list := slices.Clone(kept)
	for _, s := range p.Statement {
		raw, err := json.Marshal(s)
		if err != nil {
			return "", 0, err
		}
		list = append(list, raw)
	}
	if d.fields["Version"] == nil {
		d.fields["Version"] = json.RawMessage(`"` + policyVersion + `"`)
	}
	if d.fields[statementField], err = json.Marshal(list); err != nil {
		return "", 0, err
	}
	out, err := json.Marshal(d.fields)
	if err != nil {
		return "", 0, err
	}
	if len(out) > objectstore.MaxPolicySize {
		return "", 0, fmt.Errorf("with these statements the policy of the bucket has %d bytes, and a server takes %d; "+
			"nothing was changed. Remove statements that nobody needs any more, or give users policies of their own", len(out), objectstore.MaxPolicySize)
	}
	return string(out), len(kept), nil
}

func (p Policy) has(sid string) bool {
	return sid != "" && slices.ContainsFunc(p.Statement, func(s Statement) bool { return s.Sid == sid })
}

// Errors of CheckMerged.
var (
	ErrPolicyLost    = errors.New("statements of others are not in the policy any more: somebody has written it at the same time; compare it with what it should be")
	ErrPolicyNotKept = errors.New("the server has accepted the policy and not kept it as it was written")
)

// CheckMerged compares the policy that a bucket has with what Merge made of the
// one before. The same in another form is the same: servers put one value in the
// place of a list of one, and change the order.
func CheckMerged(want, got string) error {
	wanted, err := parsePolicy(want)
	if err != nil {
		return err
	}
	found, err := parsePolicy(got)
	if err != nil {
		return ErrPolicyNotKept
	}
	left := make(map[string]int, len(found.statements))
	for _, s := range found.statements {
		left[canonicalJSON(s)]++
	}
	var missing []json.RawMessage
	for _, s := range wanted.statements {
		if c := canonicalJSON(s); left[c] > 0 {
			left[c]--
		} else {
			missing = append(missing, s)
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case len(found.statements) < len(wanted.statements):
		return ErrPolicyLost
	}
	return ErrPolicyNotKept
}

// SamePolicy reports whether two policies have the same statements.
func SamePolicy(a, b string) bool {
	return CheckMerged(a, b) == nil && CheckMerged(b, a) == nil
}

// canonicalJSON is one form for all that mean the same in a policy.
func canonicalJSON(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	b, err := json.Marshal(canonicalValue(v))
	if err != nil {
		return string(raw)
	}
	return string(b)
}

// canonicalValue recurses no deeper than the decoder has let a document be. Lists
// in policies are sets.
func canonicalValue(v any) any {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			b, err := json.Marshal(canonicalValue(e))
			if err != nil {
				return v
			}
			parts[i] = string(b)
		}
		slices.Sort(parts)
		parts = slices.Compact(parts)
		if len(parts) == 1 {
			return json.RawMessage(parts[0])
		}
		return parts
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = canonicalValue(e)
		}
		// MinIO writes "*" so.
		if len(out) == 1 {
			if aws, ok := out["AWS"].(json.RawMessage); ok && string(aws) == `"*"` {
				return "*"
			}
			if out["AWS"] == "*" {
				return "*"
			}
		}
		return out
	}
	return v
}
