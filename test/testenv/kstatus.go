package testenv

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// KStatus is what Flux and other users of kstatus take an object for.
type KStatus string

// Values of KStatus.
const (
	KStatusInProgress  KStatus = "InProgress"
	KStatusFailed      KStatus = "Failed"
	KStatusCurrent     KStatus = "Current"
	KStatusTerminating KStatus = "Terminating"
)

// KStatusOf computes the status of a custom resource as kstatus does, from
// nothing but its metadata and its status. why is for people.
func KStatusOf(o any) (status KStatus, why string, err error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return "", "", err
	}
	u := &unstructured.Unstructured{Object: content}
	if u.GetDeletionTimestamp() != nil {
		return KStatusTerminating, "it is being deleted", nil
	}
	observed, ok, err := unstructured.NestedInt64(content, "status", "observedGeneration")
	if err != nil {
		return "", "", err
	}
	if ok && observed != u.GetGeneration() {
		return KStatusInProgress, fmt.Sprintf("generation %d was observed of %d", observed, u.GetGeneration()), nil
	}
	list, _, err := unstructured.NestedSlice(content, "status", "conditions")
	if err != nil {
		return "", "", err
	}
	conditions := map[string]map[string]any{}
	for _, c := range list {
		if c, ok := c.(map[string]any); ok {
			conditions[fmt.Sprint(c["type"])] = c
		}
	}
	reason := func(c map[string]any) string { return fmt.Sprintf("%s=%s: %s", c["type"], c["status"], c["reason"]) }
	if c := conditions["Reconciling"]; c != nil && c["status"] == "True" {
		return KStatusInProgress, reason(c), nil
	}
	if c := conditions["Stalled"]; c != nil && c["status"] == "True" {
		return KStatusFailed, reason(c), nil
	}
	if c := conditions["Ready"]; c != nil && c["status"] != "True" {
		return KStatusInProgress, reason(c), nil
	}
	return KStatusCurrent, "nothing says otherwise", nil
}
