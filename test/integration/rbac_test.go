package integration

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// TestManagerWritesOnlyWhatIsItsOwn: the manager may change each part of the
// receiver's configuration, and neither the keys of the installation nor
// anything that it does not know.
func TestManagerWritesOnlyWhatIsItsOwn(t *testing.T) {
	secrets := map[string]string{ // to the verbs, besides get
		manifests.ReceiverConfigName:        "patch",
		manifests.ServerCertName:            "update",
		manifests.IntakeCAName:              "update",
		manifests.ManagerCertName:           "update",
		manifests.SigningKeyName:            "",
		manifests.APIServerCertName("cp-1"): "update",
		manifests.APIServerCertName("cp-2"): "", // is not named in the Role
		"another":                           "",
	}
	for i := range manifests.ReceiverShards {
		secrets[manifests.ReceiverShardName(i)] = "patch"
	}
	for name, changes := range secrets {
		may(t, "secrets", name, "get", true)
		for _, verb := range []string{"patch", "update", "delete", "list", "watch"} {
			may(t, "secrets", name, verb, verb == changes)
		}
	}
	for name, ours := range map[string]bool{
		manifests.InstallationName: true, manifests.DigestKeysName: true, manifests.CertificatesName: true, manifests.AuditName: true,
		manifests.LossAccountName: true, "kube-root-ca.crt": false,
	} {
		may(t, "configmaps", name, "get", ours)
		may(t, "configmaps", name, "patch", ours)
		may(t, "configmaps", name, "update", false)
	}
	may(t, "secrets", "", "create", true)
	may(t, "configmaps", "", "create", true)
	for name, ours := range map[string]bool{manifests.LeaseName: true, "another": false} {
		for _, verb := range []string{"get", "update", "patch", "delete", "list", "watch"} {
			may(t, "leases.coordination.k8s.io", name, verb, ours && (verb == "get" || verb == "update"))
		}
	}
	may(t, "leases.coordination.k8s.io", "", "create", true)
}

// may asks the API server whether the manager may do something in its namespace
// with a resource, which is followed by its group.
func may(t *testing.T, resource, name, verb string, want bool) {
	t.Helper()
	plural, group, _ := strings.Cut(resource, ".")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: managerUser, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + installed},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: installed, Group: group, Resource: plural, Name: name, Verb: verb},
	}}
	if err := admin.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	if review.Status.Allowed != want {
		t.Errorf("the manager may %s the %s %q: %v", verb, resource, name, review.Status.Allowed)
	}
}
