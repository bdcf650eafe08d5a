package selector

import (
	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Compile checks sel and makes it ready to match. namespace is that of the
// trail; empty means the whole cluster. A selection without selectors is that
// of a trail that does not set any: all management events and no data events.
//
// Apart from that it accepts what Validate accepts, and what Merge makes of it.
// Its errors are sentences for the author of the trail, with the path of the field.
func Compile(sel v1alpha1.EventSelection, namespace string) (*Selector, error) {
	if err := validateWithin(&sel, merged); err != nil {
		return nil, err
	}
	s := &Selector{namespace: namespace}
	for i := range sel.Basic {
		s.addBasic(&sel.Basic[i])
	}
	for i := range sel.Advanced {
		s.addAdvanced(&sel.Advanced[i])
	}
	if sel.Basic == nil && sel.Advanced == nil {
		s.add(record.CategoryManagement, clause{})
	}
	return s, nil
}

func (s *Selector) addBasic(b *v1alpha1.BasicEventSelector) {
	var rw access
	switch b.ReadWriteType {
	case v1alpha1.ReadOnly:
		rw = onlyRead
	case v1alpha1.WriteOnly:
		rw = onlyWrite
	}
	if b.IncludeManagementEvents == nil || *b.IncludeManagementEvents {
		c := clause{readOnly: rw}
		if len(b.ExcludeManagementEventSources) > 0 {
			c.eventSource = &condition{notEquals: newSet(b.ExcludeManagementEventSources)}
		}
		s.add(record.CategoryManagement, c)
	}
	for i := range b.DataResources {
		r := &b.DataResources[i]
		s.add(record.CategoryData, clause{readOnly: rw, resource: resourceCondition{
			types: newSet([]string{r.Type}),
			arn:   dataResourceARN(r),
		}})
	}
}

// everyResource names all resources of a type whose ARNs are compared whole.
var everyResource = map[string]string{
	"AWS::Lambda::Function": "arn:aws:lambda",
	"AWS::DynamoDB::Table":  "arn:aws:dynamodb",
}

// dataResourceARN returns the condition on ARNs of a basic data resource:
// prefixes for objects in buckets and in the cluster, whole ARNs otherwise.
func dataResourceARN(r *v1alpha1.DataResource) *condition {
	every, whole := everyResource[r.Type]
	if !whole {
		return &condition{startsWith: newPrefixes(r.Values)}
	}
	values := newSet(r.Values)
	if values.has(every) {
		return nil
	}
	return &condition{equals: values}
}

func (s *Selector) addAdvanced(a *v1alpha1.AdvancedEventSelector) {
	var category string
	var c clause
	for i := range a.FieldSelectors {
		f := &a.FieldSelectors[i]
		switch f.Field {
		case v1alpha1.FieldEventCategory:
			category = f.Equals[0]
		case v1alpha1.FieldReadOnly:
			c.readOnly = onlyWrite
			if f.Equals[0] == "true" {
				c.readOnly = onlyRead
			}
		case v1alpha1.FieldResourcesType:
			c.resource.types = newSet(f.Equals)
		case v1alpha1.FieldResourcesARN:
			c.resource.arn = newCondition(f)
		case v1alpha1.FieldEventName:
			c.eventName = newCondition(f)
		case v1alpha1.FieldEventSource:
			c.eventSource = newCondition(f)
		case v1alpha1.FieldEventType:
			c.eventType = newCondition(f)
		case v1alpha1.FieldUserIdentityARN:
			c.userARN = newCondition(f)
		}
	}
	s.add(category, c)
}

func newCondition(f *v1alpha1.FieldSelector) *condition {
	return &condition{
		equals:        newSet(f.Equals),
		startsWith:    newPrefixes(f.StartsWith),
		endsWith:      newSuffixes(f.EndsWith),
		notEquals:     newSet(f.NotEquals),
		notStartsWith: newPrefixes(f.NotStartsWith),
		notEndsWith:   newSuffixes(f.NotEndsWith),
	}
}
