package managerconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Defaults of a Validation.
const (
	defaultConcurrency     = 4
	defaultDeadlineSeconds = 3600
)

// Validation says how trails are validated that have a schedule for it: each
// by a Job in the namespace of the installation, with the receiver's image.
type Validation struct {
	// Image of the receiver; left out it is that of receiver.workload, with its
	// imagePullPolicy and imagePullSecrets.
	Image            string            `json:"image,omitempty"`
	ImagePullPolicy  corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	ImagePullSecrets []string          `json:"imagePullSecrets,omitempty"`

	// Concurrency is how many trails are validated at once, 1 to 100, and never
	// two of a namespace; left out it is 4.
	Concurrency int `json:"concurrency,omitempty"`
	// DeadlineSeconds is how long one may take, 60 to 86400; left out it is 3600.
	DeadlineSeconds int64 `json:"deadlineSeconds,omitempty"`
	// Resources of the container; left out they are 100m of CPU and 128Mi of
	// memory, with limits of 1 CPU and 512Mi.
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	NodeSelector map[string]string   `json:"nodeSelector,omitempty"`
	Tolerations  []corev1.Toleration `json:"tolerations,omitempty"`
	// ServiceAccountAnnotations are added to the ServiceAccount of the pods, such
	// as the role that a cloud gives it. It has no token for the API server.
	ServiceAccountAnnotations map[string]string `json:"serviceAccountAnnotations,omitempty"`
}

// IsPossible reports whether there is an image to validate with.
func (v *Validation) IsPossible() bool { return v.Image != "" }

// complete fills in what may be left out; w is nil where somebody else runs the
// receiver.
func (v *Validation) complete(w *Workload) {
	if v.Image == "" && w != nil {
		v.Image, v.ImagePullPolicy, v.ImagePullSecrets = w.Image, w.ImagePullPolicy, w.ImagePullSecrets
	}
	if v.Concurrency == 0 {
		v.Concurrency = defaultConcurrency
	}
	if v.DeadlineSeconds == 0 {
		v.DeadlineSeconds = defaultDeadlineSeconds
	}
	if v.Resources == nil {
		v.Resources = &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
			},
			Limits: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("512Mi"),
			},
		}
	}
}

func (v *Validation) validate(bad func(field, message string)) {
	field := func(name string) string { return "validation." + name }
	if strings.ContainsAny(v.Image, " \t\r\n") || len(v.Image) > 1000 {
		bad(field("image"), "must be the image of the receiver, or left out for that of receiver.workload")
	}
	switch v.ImagePullPolicy {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		bad(field("imagePullPolicy"), "must be Always, IfNotPresent, Never or left out")
	}
	for i, s := range v.ImagePullSecrets {
		if len(validation.IsDNS1123Subdomain(s)) > 0 {
			bad(fmt.Sprintf("%s[%d]", field("imagePullSecrets"), i), "must be the name of a Secret")
		}
	}
	if v.Concurrency < 0 || v.Concurrency > 100 {
		bad(field("concurrency"), "must be 1 to 100, or left out for 4")
	}
	if v.DeadlineSeconds != 0 && (v.DeadlineSeconds < 60 || v.DeadlineSeconds > 86400) {
		bad(field("deadlineSeconds"), "must be 60 to 86400, or left out for 3600")
	}
	if max(len(v.ImagePullSecrets), len(v.Tolerations), len(v.NodeSelector), len(v.ServiceAccountAnnotations)) > maxEntries {
		bad(field("imagePullSecrets, tolerations, nodeSelector, serviceAccountAnnotations"), "must have at most 100 entries each")
		return
	}
	for _, m := range []struct {
		name   string
		labels bool
		values map[string]string
	}{{"nodeSelector", true, v.NodeSelector}, {"serviceAccountAnnotations", false, v.ServiceAccountAnnotations}} {
		for _, k := range slices.Sorted(maps.Keys(m.values)) {
			name := fmt.Sprintf("%s[%q]", field(m.name), k)
			switch {
			case len(validation.IsQualifiedName(k)) > 0:
				bad(name, "is no valid key")
			case m.labels && len(validation.IsValidLabelValue(m.values[k])) > 0:
				bad(name, "must have at most 63 letters, digits and . _ - as its value")
			}
		}
	}
}
