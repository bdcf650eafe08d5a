package cloudtrailapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/selector"
)

// MaxEventSelectors bounds the JSON that ParseEventSelectors takes, in bytes.
const MaxEventSelectors = 1 << 20

// EventSelectors is what PutEventSelectors takes and GetEventSelectors returns.
type EventSelectors struct {
	TrailName              string                  `json:",omitempty"` // of PutEventSelectors
	TrailARN               string                  `json:",omitempty"` // of GetEventSelectors
	EventSelectors         []EventSelector         `json:",omitempty"`
	AdvancedEventSelectors []AdvancedEventSelector `json:",omitempty"`
}

// EventSelector is CloudTrail's basic event selector.
type EventSelector struct {
	ReadWriteType                 string
	IncludeManagementEvents       *bool // nil means true
	DataResources                 []DataResource
	ExcludeManagementEventSources []string
}

// DataResource is CloudTrail's DataResource.
type DataResource struct {
	Type   string
	Values []string
}

// AdvancedEventSelector is CloudTrail's.
type AdvancedEventSelector struct {
	Name           string `json:",omitempty"`
	FieldSelectors []FieldSelector
}

// FieldSelector is CloudTrail's AdvancedFieldSelector.
type FieldSelector struct {
	Field         string
	Equals        []string `json:",omitempty"`
	StartsWith    []string `json:",omitempty"`
	EndsWith      []string `json:",omitempty"`
	NotEquals     []string `json:",omitempty"`
	NotStartsWith []string `json:",omitempty"`
	NotEndsWith   []string `json:",omitempty"`
}

// ToCloudTrail gives a valid selection the form of CloudTrail. Defaults stand in
// it, as in CloudTrail's own answers.
func ToCloudTrail(sel v1alpha1.EventSelection) EventSelectors {
	var out EventSelectors
	basic := sel.Basic
	if basic == nil && sel.Advanced == nil {
		basic = []v1alpha1.BasicEventSelector{{}}
	}
	for _, b := range basic {
		include := b.IncludeManagementEvents == nil || *b.IncludeManagementEvents
		e := EventSelector{
			ReadWriteType: string(b.ReadWriteType), IncludeManagementEvents: &include,
			DataResources: []DataResource{}, ExcludeManagementEventSources: append([]string{}, b.ExcludeManagementEventSources...),
		}
		if e.ReadWriteType == "" {
			e.ReadWriteType = string(v1alpha1.ReadWriteAll)
		}
		for _, r := range b.DataResources {
			e.DataResources = append(e.DataResources, DataResource(r))
		}
		out.EventSelectors = append(out.EventSelectors, e)
	}
	for _, a := range sel.Advanced {
		e := AdvancedEventSelector{Name: a.Name}
		for _, f := range a.FieldSelectors {
			e.FieldSelectors = append(e.FieldSelectors, FieldSelector{
				Field: string(f.Field), Equals: f.Equals, StartsWith: f.StartsWith, EndsWith: f.EndsWith,
				NotEquals: f.NotEquals, NotStartsWith: f.NotStartsWith, NotEndsWith: f.NotEndsWith,
			})
		}
		out.AdvancedEventSelectors = append(out.AdvancedEventSelectors, e)
	}
	return out
}

// FromCloudTrail is the way back. It leaves defaults out and values that stand
// in a list twice. The error is a sentence: not everything that CloudTrail
// selects has a meaning here.
func FromCloudTrail(in EventSelectors) (v1alpha1.EventSelection, error) {
	var sel v1alpha1.EventSelection
	if (len(in.EventSelectors) > 0) == (len(in.AdvancedEventSelectors) > 0) {
		return sel, errors.New("set exactly one of EventSelectors and AdvancedEventSelectors")
	}
	for _, e := range in.EventSelectors {
		b := v1alpha1.BasicEventSelector{ReadWriteType: v1alpha1.ReadWriteType(e.ReadWriteType)}
		if b.ReadWriteType == v1alpha1.ReadWriteAll {
			b.ReadWriteType = ""
		}
		if e.IncludeManagementEvents != nil && !*e.IncludeManagementEvents {
			b.IncludeManagementEvents = e.IncludeManagementEvents
		}
		b.ExcludeManagementEventSources = distinct(e.ExcludeManagementEventSources)
		for _, r := range e.DataResources {
			b.DataResources = append(b.DataResources, v1alpha1.DataResource{Type: r.Type, Values: distinct(r.Values)})
		}
		sel.Basic = append(sel.Basic, b)
	}
	for _, e := range in.AdvancedEventSelectors {
		a := v1alpha1.AdvancedEventSelector{Name: e.Name}
		for _, f := range e.FieldSelectors {
			a.FieldSelectors = append(a.FieldSelectors, v1alpha1.FieldSelector{
				Field: v1alpha1.Field(f.Field), Equals: distinct(f.Equals), StartsWith: distinct(f.StartsWith), EndsWith: distinct(f.EndsWith),
				NotEquals: distinct(f.NotEquals), NotStartsWith: distinct(f.NotStartsWith), NotEndsWith: distinct(f.NotEndsWith),
			})
		}
		sel.Advanced = append(sel.Advanced, a)
	}
	if err := selector.Validate(sel); err != nil {
		return v1alpha1.EventSelection{}, fmt.Errorf("this has no meaning for an EventSelector: %w", err)
	}
	return sel, nil
}

// distinct returns the values in their order, each once, and nil for none.
func distinct(values []string) []string {
	var once []string
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			once = append(once, v)
		}
	}
	return once
}

// ParseEventSelectors reads what `aws cloudtrail` takes or prints: the JSON of
// PutEventSelectors or GetEventSelectors, or the list alone that the options
// --event-selectors and --advanced-event-selectors take.
func ParseEventSelectors(raw []byte) (EventSelectors, error) {
	var out EventSelectors
	if len(raw) > MaxEventSelectors {
		return out, fmt.Errorf("event selectors of more than %d bytes are not read", MaxEventSelectors)
	}
	raw = bytes.TrimSpace(raw)
	if !bytes.HasPrefix(raw, []byte("[")) {
		return out, decodeStrict(raw, &out)
	}
	var kind []struct{ FieldSelectors json.RawMessage }
	_ = json.Unmarshal(raw, &kind) // what is wrong is said below
	if slices.ContainsFunc(kind, func(k struct{ FieldSelectors json.RawMessage }) bool { return k.FieldSelectors != nil }) {
		return out, decodeStrict(raw, &out.AdvancedEventSelectors)
	}
	return out, decodeStrict(raw, &out.EventSelectors)
}

func decodeStrict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		_, err = d.Token()
	}
	switch {
	case errors.Is(err, io.EOF) && len(raw) > 0:
		return nil
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		return fmt.Errorf("event selectors have no field %.100s", strings.TrimPrefix(err.Error(), "json: unknown field "))
	}
	return errors.New("this is not the JSON of event selectors, as `aws cloudtrail get-event-selectors` prints it")
}

// getEventSelectors answers with the effective selection of a trail.
func (h *handler) getEventSelectors(r *http.Request, body []byte) (any, error) {
	var in struct{ TrailName string }
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.TrailName == "" {
		return nil, badRequest("InvalidTrailNameException", "TrailName must be the name or the ARN of a trail.")
	}
	trails, err := h.source.Trails(r.Context())
	if err != nil {
		return nil, err
	}
	for _, t := range trails {
		if t.Name == in.TrailName || t.ARN == in.TrailName {
			out := ToCloudTrail(t.Selection)
			out.TrailARN = t.ARN
			return out, nil
		}
	}
	return nil, badRequest("TrailNotFoundException", "There is no trail of this name.")
}

// isCustom reports whether a selection is other than that of a new trail.
func isCustom(sel v1alpha1.EventSelection) bool {
	return !reflect.DeepEqual(ToCloudTrail(sel), ToCloudTrail(v1alpha1.EventSelection{}))
}
