package chart

import (
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/recorder/tail"
)

// daemonSet is the rendered one of the tails, and all objects beside it.
func daemonSet(t *testing.T, args ...string) (*appsv1.DaemonSet, objects) {
	t.Helper()
	o := parse(t, template(t, append([]string{"--values", "testdata/minimal.values.yaml", "--set", "tail.enabled=true"}, args...)...))
	for key, u := range o {
		if !strings.HasPrefix(key, "DaemonSet/") {
			continue
		}
		d := &appsv1.DaemonSet{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, d); err != nil {
			t.Fatal(err)
		}
		return d, o
	}
	t.Fatal("there is no DaemonSet")
	return nil, nil
}

// TestTail: what the tails are given is what the receiver, the manager and the
// program itself call by the same names, and nothing more.
func TestTail(t *testing.T) {
	d, all := daemonSet(t)
	pod := d.Spec.Template.Spec
	if pod.ServiceAccountName != receiverconfig.TailServiceAccount || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("the pod has a token for the API server, or is %s", pod.ServiceAccountName)
	}
	for key, u := range all {
		subjects, _ := u.Object["subjects"].([]any)
		for _, s := range subjects {
			if s.(map[string]any)["name"] == receiverconfig.TailServiceAccount {
				t.Errorf("%s gives the tails rights", key)
			}
		}
	}

	volumes := map[string]corev1.VolumeSource{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	files := map[string]string{}
	for _, s := range volumes["receiver"].Projected.Sources {
		switch {
		case s.ServiceAccountToken != nil:
			files[s.ServiceAccountToken.Path] = s.ServiceAccountToken.Audience
		case s.ConfigMap != nil:
			for _, i := range s.ConfigMap.Items {
				files[i.Path] = s.ConfigMap.Name + "/" + i.Key
			}
		}
	}
	for name, want := range map[string]string{
		tail.FileToken:   receiverconfig.TailAudience,
		tail.FileURL:     manifests.InstallationName + "/" + manifests.InstallationReceiverURL,
		tail.FileAccount: manifests.InstallationName + "/" + manifests.InstallationAccount,
		tail.FileSince:   manifests.InstallationName + "/" + manifests.InstallationTailSince,
		tail.FileCA:      manifests.CertificatesName + "/" + manifests.CertificatesReceiverCA,
	} {
		if files[name] != want {
			t.Errorf("%s is %q, want %q", name, files[name], want)
		}
	}
	if got := volumes["log"].HostPath.Path; got != path.Dir(manifests.AuditFiles.Log) {
		t.Errorf("it reads %s; the flags of kube-apiserver name %s", got, manifests.AuditFiles.Log)
	}

	c := pod.Containers[0]
	s := c.SecurityContext
	if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
		t.Errorf("the container may do too much: %+v", s)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Error("the pod shares namespaces of its node")
	}
	for _, m := range c.VolumeMounts {
		if m.ReadOnly == (m.Name == "state") {
			t.Errorf("%s: readOnly is %v", m.Name, m.ReadOnly)
		}
	}
}

// TestTailIsOff: the tails need a namespace that allows more, so that nobody gets
// them without asking.
func TestTailIsOff(t *testing.T) {
	for key := range parse(t, template(t, "--values", "testdata/minimal.values.yaml")) {
		if strings.Contains(key, receiverconfig.TailServiceAccount) {
			t.Errorf("%s is rendered", key)
		}
	}
}

// TestTailReaches: its NetworkPolicy lets it reach the receiver where that is.
func TestTailReaches(t *testing.T) {
	_, all := daemonSet(t, "--set", "receiver.apiServerAddress=10.0.0.1:30443")
	u := all["NetworkPolicy/trail-tail"]
	if u == nil {
		t.Fatal("the tails have no NetworkPolicy")
	}
	if raw, err := u.MarshalJSON(); err != nil || !strings.Contains(string(raw), `"port":30443`) {
		t.Errorf("the tails cannot reach the receiver at the port that API servers use: %v\n%s", err, raw)
	}
}
