package staticpod

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
)

// pod is that of an API server with everything that is asked for.
func pod() *corev1.PodSpec {
	c := corev1.Container{
		Name: Container, Command: []string{"kube-apiserver", "--advertise-address=10.0.0.1"},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "k8s-certs", MountPath: "/etc/kubernetes/pki", ReadOnly: true},
			{Name: "audit", MountPath: "/etc/kubernetes/audit", ReadOnly: true},
			{Name: "audit-log", MountPath: "/var/log/kubernetes/audit/"},
		},
	}
	for _, f := range auditpolicy.Flags(auditpolicy.Files{
		Policy: "/etc/kubernetes/audit/policy.yaml", Kubeconfig: "/etc/kubernetes/audit/webhook.kubeconfig",
		Log: "/var/log/kubernetes/audit/audit.log",
	}) {
		c.Command = append(c.Command, f.String())
	}
	p := &corev1.PodSpec{Containers: []corev1.Container{{Name: "other"}, c}}
	for name, at := range map[string]string{"k8s-certs": "/etc/kubernetes/pki", "audit": "/srv/audit", "audit-log": "/var/log/kubernetes/audit"} {
		p.Volumes = append(p.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: at}}})
	}
	return p
}

func set(name, value string) func(*corev1.PodSpec) {
	return func(p *corev1.PodSpec) {
		unset(name)(p)
		p.Containers[1].Args = append(p.Containers[1].Args, "--"+name+"="+value)
	}
}

func unset(name string) func(*corev1.PodSpec) {
	return func(p *corev1.PodSpec) {
		p.Containers[1].Command = slices.DeleteFunc(p.Containers[1].Command, func(s string) bool { return strings.HasPrefix(s, "--"+name+"=") })
	}
}

func TestOf(t *testing.T) {
	for name, tc := range map[string]struct {
		change              func(*corev1.PodSpec)
		broken, differences []string
	}{
		"as asked for": {func(*corev1.PodSpec) {}, nil, nil},
		"no policy":    {unset("audit-policy-file"), []string{"it has no --audit-policy-file, so it records nothing"}, nil},
		"no webhook":   {unset("audit-webhook-config-file"), []string{"it has no --audit-webhook-config-file, so it sends nothing"}, nil},
		"blocking":     {set("audit-webhook-mode", "blocking-strict"), []string{"--audit-webhook-mode is blocking-strict, so every API call waits for the receiver"}, nil},
		"default mode": {unset("audit-webhook-mode"), nil, nil},
		"slow":         {set("audit-webhook-batch-max-wait", "30s"), nil, []string{"--audit-webhook-batch-max-wait is 30s instead of 1s"}},
		"the same in other words": {func(p *corev1.PodSpec) {
			set("audit-webhook-batch-max-wait", "1000ms")(p)
			set("audit-webhook-truncate-enabled", "T")(p)
		}, nil, nil},
		"a flag without a value": {func(p *corev1.PodSpec) {
			unset("audit-webhook-truncate-enabled")(p)
			p.Containers[1].Args = []string{"--audit-webhook-truncate-enabled", "--audit-webhook-mode", "batch"}
		}, nil, nil},
		"no truncation": {unset("audit-webhook-truncate-enabled"), nil, []string{"--audit-webhook-truncate-enabled is missing, true is asked for"}},
		"nothing mounted": {func(p *corev1.PodSpec) { p.Containers[1].VolumeMounts = nil }, []string{
			"no volume is mounted at /etc/kubernetes/audit, where --audit-policy-file looks for its file",
			"no volume is mounted at /etc/kubernetes/audit, where --audit-webhook-config-file looks for its file",
		}, []string{"no volume is mounted at /var/log/kubernetes/audit, so the log of --audit-log-path goes with the container"}},
		"no volume": {func(p *corev1.PodSpec) {
			p.Volumes = slices.DeleteFunc(p.Volumes, func(v corev1.Volume) bool { return v.Name == "audit" })
		}, []string{
			"the volume audit, which --audit-policy-file needs, is not among the volumes",
			"the volume audit, which --audit-webhook-config-file needs, is not among the volumes",
		}, nil},
		"log read-only": {func(p *corev1.PodSpec) { p.Containers[1].VolumeMounts[2].ReadOnly = true }, []string{
			"/var/log/kubernetes/audit/ is mounted read-only, and --audit-log-path writes there",
		}, nil},
		"no log":        {unset("audit-log-path"), nil, nil},
		"log to stdout": {set("audit-log-path", "-"), nil, nil},
		"long":          {set("audit-webhook-mode", strings.Repeat("x", 1000)), []string{"--audit-webhook-mode is " + strings.Repeat("x", 120) + "…, so every API call waits for the receiver"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod()
			tc.change(p)
			a := Of(p)
			if d := cmp.Diff(tc.broken, a.Broken); d != "" {
				t.Errorf("broken: %s", d)
			}
			if d := cmp.Diff(tc.differences, a.Differences); d != "" {
				t.Errorf("differences: %s", d)
			}
		})
	}
	if Of(&corev1.PodSpec{Containers: []corev1.Container{{Name: "x"}}}) != nil {
		t.Error("another pod was read")
	}
}

func TestHostPath(t *testing.T) {
	for file, want := range map[string]string{
		"/etc/kubernetes/audit/policy.yaml":   "/srv/audit/policy.yaml",
		"/var/log/kubernetes/audit/audit.log": "/var/log/kubernetes/audit/audit.log",
		"/etc/kubernetes/auditor/policy.yaml": "",
	} {
		if got := HostPath(pod(), file); got != want {
			t.Errorf("%s is at %q, want %q", file, got, want)
		}
	}
}
