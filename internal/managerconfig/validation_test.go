package managerconfig

import (
	"strings"
	"testing"
)

const validationBase = "apiVersion: config.trail-operator.io/v1alpha1\nkind: ManagerConfig\nregion: eu-1\nnamespace: trail\n"

func TestValidationDefaults(t *testing.T) {
	c, err := Parse([]byte(validationBase + "receiver: {apiServers: [a], workload: {image: r, imagePullPolicy: Never, imagePullSecrets: [s]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := c.Validation
	if !v.IsPossible() || v.Image != "r" || v.ImagePullPolicy != "Never" || len(v.ImagePullSecrets) != 1 || v.Concurrency != 4 || v.DeadlineSeconds != 3600 ||
		v.Resources.Limits.Memory().String() != "512Mi" {
		t.Errorf("%+v", v)
	}
	if c, err = Parse([]byte(validationBase + "receiver: {apiServers: [a], address: \"r:1\"}\n")); err != nil || c.Validation.IsPossible() {
		t.Errorf("without an image: %+v, %v", c, err)
	}
}

func TestValidationRefuses(t *testing.T) {
	for value, field := range map[string]string{
		"concurrency: 101":                                   "validation.concurrency",
		"concurrency: -1":                                    "validation.concurrency",
		"deadlineSeconds: 59":                                "validation.deadlineSeconds",
		"deadlineSeconds: 86401":                             "validation.deadlineSeconds",
		"image: \"a b\"":                                     "validation.image",
		"imagePullPolicy: Sometimes":                         "validation.imagePullPolicy",
		"imagePullSecrets: [A/B]":                            "validation.imagePullSecrets[0]",
		"nodeSelector: {\"a b\": c}":                         "validation.nodeSelector",
		"nodeSelector: {a: \"b c\"}":                         "validation.nodeSelector",
		"serviceAccountAnnotations: {\"-\": c}":              "validation.serviceAccountAnnotations",
		"tolerations: [" + strings.Repeat("{}, ", 101) + "]": "validation.imagePullSecrets, tolerations",
	} {
		_, err := Parse([]byte(validationBase + "receiver: {apiServers: [a], workload: {image: r}}\nvalidation: {" + value + "}\n"))
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%.40s: %v", value, err)
		}
	}
}
