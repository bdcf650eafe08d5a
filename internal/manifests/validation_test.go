package manifests

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/validation"
)

func validationConfig(t *testing.T, more string) *ValidationWorkload {
	t.Helper()
	c, err := managerconfig.Parse([]byte("apiVersion: config.trail-operator.io/v1alpha1\nkind: ManagerConfig\nregion: eu-1\nnamespace: trail\n" + more))
	if err != nil {
		t.Fatal(err)
	}
	return &ValidationWorkload{Namespace: c.Namespace, Validation: &c.Validation, Receiver: c.Receiver.Workload}
}

func TestValidationWorkload(t *testing.T) {
	trail := &v1alpha1.Trail{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "audit", UID: "11111111-2222-3333-4444-555555555555"}}
	run := ValidationRun{
		StartTime: metav1.NewTime(time.Date(2026, 11, 21, 4, 30, 0, 0, time.UTC)), Full: true, Trigger: "1",
		Head: &v1alpha1.DigestHead{S3Object: "digest"}, Settings: "abc",
	}
	in := validation.Input{
		Version: validation.Version, Trail: "shop.audit", Layout: record.Layout{Prefix: "shop/audit", Account: "000000000042", Region: "eu-1"},
		Destination: receiverconfig.Destination{Bucket: "logs", Region: "us-east-1", AccessKeyID: "a", SecretAccessKey: "b"},
		Keys:        []record.PublishedKey{{Fingerprint: "f"}}, Heads: []record.Head{{Object: "digest"}},
		From: time.Date(2026, 8, 23, 4, 0, 0, 0, time.UTC),
	}
	for name, config := range map[string]string{
		"minimal":  "receiver: {apiServers: [cp-1], workload: {image: receiver:v1}}\n",
		"external": "receiver: {apiServers: [cp-1], address: \"r:1\"}\nvalidation: {image: receiver:v1}\n",
		"full": `
receiver:
  apiServers: [cp-1]
  workload:
    image: receiver:v1
    imagePullPolicy: Always
    imagePullSecrets: [registry]
    labels: {team: audit}
    env: [{name: AWS_REGION, value: eu-1}]
    networkPolicy: {egressPorts: [7070]}
validation:
  concurrency: 2
  deadlineSeconds: 600
  resources: {limits: {memory: 1Gi}}
  nodeSelector: {role: infra}
  tolerations: [{key: infra, operator: Exists}]
  serviceAccountAnnotations: {example.com/role: reader}
`,
	} {
		t.Run(name, func(t *testing.T) {
			v := validationConfig(t, config)
			run := run
			run.Ambient = name == "full"
			job := v.Job(trail, run)
			job.UID = "job-uid"
			golden(t, "validation-"+name+".yaml", map[string]any{
				"serviceAccounts": v.ServiceAccounts(), "networkPolicy": v.NetworkPolicy(), "job": job, "secret": ValidationSecret(job, in),
			})
			uid, got, err := ParseValidationRun(job)
			if d := cmp.Diff(run, got); err != nil || uid != trail.UID || d != "" {
				t.Errorf("%v, %s: %s", err, uid, d)
			}
			again, err := validation.ParseInput(ValidationSecret(job, in).Data[validation.FileInput])
			if d := cmp.Diff(in, again); err != nil || d != "" {
				t.Errorf("%v: %s", err, d)
			}
		})
	}
	if v := validationConfig(t, "receiver: {apiServers: [cp-1], workload: {image: r, networkPolicy: {enabled: false}}}\n"); v.NetworkPolicy() != nil {
		t.Error("there is a NetworkPolicy that nobody wants")
	}
}

func TestParseValidationRunRefuses(t *testing.T) {
	for name, job := range map[string]*batchv1.Job{
		"nothing":  {},
		"no label": {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{validationAnnotation: `{"startTime":"2026-11-21T04:30:00Z"}`}}},
		"no start": {ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{ValidationTrailLabel: "u"}, Annotations: map[string]string{validationAnnotation: `{}`},
		}},
		"no JSON": {ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{ValidationTrailLabel: "u"}, Annotations: map[string]string{validationAnnotation: `x`},
		}},
	} {
		if _, _, err := ParseValidationRun(job); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}
