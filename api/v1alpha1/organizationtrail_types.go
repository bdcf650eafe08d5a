package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// OrganizationTrail records the API calls of the whole cluster, in every
// namespace and on cluster-scoped objects. Its CloudTrail name is its name. Its
// objects carry the organization ID of the installation in their keys, if the
// installation has one; the same manifest in every cluster of an organization
// makes one trail of all of them. The Secret and the EventSelectors that it names
// are in the namespace of the operator.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=otrl,categories=trail-operator
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Bucket",type=string,JSONPath=`.spec.destination.bucket`
// +kubebuilder:printcolumn:name="Prefix",type=string,JSONPath=`.status.prefix`,priority=1
// +kubebuilder:printcolumn:name="Validated",type=string,JSONPath=`.status.conditions[?(@.type=="Validated")].status`
// +kubebuilder:printcolumn:name="Last Delivery",type=date,JSONPath=`.status.latestDelivery.time`
// +kubebuilder:printcolumn:name="Last Digest",type=date,JSONPath=`.status.latestDigest.time`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:selectablefield:JSONPath=`.spec.destination.bucket`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) >= 3 && size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]+(-[a-z0-9]+)*$')",message="The name of an OrganizationTrail must be 3 to 63 lower-case letters, digits and single hyphens, because it is the CloudTrail name."
type OrganizationTrail struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants.
	// +required
	Spec TrailSpec `json:"spec"`

	// status is what was observed.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status TrailStatus `json:"status,omitzero"`
}

// OrganizationTrailList is a list of organization trails.
//
// +kubebuilder:object:root=true
type OrganizationTrailList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []OrganizationTrail `json:"items"`
}
