package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// EventSelector is a selection of events that trails refer to: Trails of the
// same namespace, and OrganizationTrails where it is in the namespace of the
// operator.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=evsel,categories=trail-operator
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Used By",type=integer,JSONPath=`.status.trails`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventSelector struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which events are selected.
	// +required
	Spec EventSelectorSpec `json:"spec"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status EventSelectorStatus `json:"status,omitzero"`
}

// EventSelectorSpec says which events are selected.
type EventSelectorSpec struct {
	EventSelection `json:",inline"`
}

// EventSelectorStatus is what was observed of an EventSelector.
type EventSelectorStatus struct {
	// conditions are Ready, which is True when the selection compiles, and,
	// only while it is true, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// trails is the number of trails that use the selector.
	// +optional
	Trails int32 `json:"trails,omitempty"`

	// usedBy are the names of the trails that use it, the first hundred of them:
	// NAME of a Trail in the same namespace, organizationtrail/NAME.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=320
	UsedBy []string `json:"usedBy,omitempty"`
}

// EventSelectorList is a list of event selectors.
//
// +kubebuilder:object:root=true
type EventSelectorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []EventSelector `json:"items"`
}
