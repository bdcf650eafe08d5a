// Package v1alpha1 holds the kinds of trail-operator.io: what users write.
//
// +kubebuilder:object:generate=true
// +groupName=trail-operator.io
package v1alpha1
