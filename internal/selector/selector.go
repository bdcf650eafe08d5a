// Package selector decides which events a trail records. It has CloudTrail's
// semantics, extended to the fields of both event categories, and it is the
// tenancy boundary: a selector of a namespace never matches an event of
// another one.
package selector

import (
	"github.com/trail-operator/trail-operator/internal/record"
)

// Selector is a compiled event selection. It is immutable and safe for
// concurrent use.
type Selector struct {
	// namespace limits the selector to the events of one namespace; empty
	// means no limit.
	namespace string
	// An event matches when any clause of its category does.
	management []clause
	data       []clause
}

// Match reports whether the trail records the event with these facts. It does
// not look at Facts.Trails: whoever routes an event of our own decides that
// before it asks the selectors.
func (s *Selector) Match(f *record.Facts) bool {
	if s.namespace != "" && f.Namespace != s.namespace {
		return false
	}
	var clauses []clause
	switch f.Category {
	case record.CategoryManagement:
		clauses = s.management
	case record.CategoryData:
		clauses = s.data
	}
	for i := range clauses {
		if clauses[i].match(f) {
			return true
		}
	}
	return false
}

// add puts a clause with the events of its category.
func (s *Selector) add(category string, c clause) {
	if category == record.CategoryData {
		s.data = append(s.data, c)
		return
	}
	s.management = append(s.management, c)
}

// clause is a conjunction of conditions on one event of a known category.
// Unset conditions hold.
type clause struct {
	readOnly    access
	eventName   *condition
	eventSource *condition
	eventType   *condition
	userARN     *condition
	resource    resourceCondition
}

// access says which of read and write events a clause takes.
type access uint8

const (
	readAndWrite access = iota
	onlyRead
	onlyWrite
)

func (a access) holds(readOnly bool) bool {
	return a == readAndWrite || (a == onlyRead) == readOnly
}

func (c *clause) match(f *record.Facts) bool {
	return c.readOnly.holds(f.ReadOnly) &&
		c.eventSource.holds(f.EventSource) &&
		c.eventName.holds(f.EventName) &&
		c.eventType.holds(f.EventType) &&
		c.userARN.holds(f.UserARN) &&
		c.resource.holds(f.Resources)
}

// resourceCondition is what a clause asks of the resources of an event. A type
// narrows the resources that are looked at; then one of them has to satisfy
// all positive operators, and none may match a negative one.
type resourceCondition struct {
	types set // empty = any type
	arn   *condition
}

func (r *resourceCondition) holds(resources []record.FactResource) bool {
	found := r.types == nil && !r.arn.positive()
	for i := range resources {
		if r.types != nil && !r.types.has(resources[i].Type) {
			continue
		}
		if r.arn.excludes(resources[i].ARN) {
			return false
		}
		found = found || r.arn.includes(resources[i].ARN)
	}
	return found
}
