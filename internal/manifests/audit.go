package manifests

import (
	"strings"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
)

// Keys of the ConfigMap AuditName.
const (
	AuditPolicy = "policy.yaml" // for --audit-policy-file
	AuditFlags  = "flags"
)

// AuditFiles are the places that are proposed for the files of kube-apiserver.
var AuditFiles = auditpolicy.Files{
	Policy:     "/etc/kubernetes/audit/policy.yaml",
	Kubeconfig: "/etc/kubernetes/audit/webhook.kubeconfig",
	Log:        "/var/log/kubernetes/audit/audit.log",
}

// FlagLines are the flags of kube-apiserver, each after a comment on what it
// is for.
func FlagLines(f auditpolicy.Files) string {
	var b strings.Builder
	for _, flag := range auditpolicy.Flags(f) {
		b.WriteString("# " + flag.Why + "\n" + flag.String() + "\n")
	}
	return b.String()
}

// Audit builds the ConfigMap with what every kube-apiserver needs besides its
// kubeconfig.
func Audit(namespace string) (*corev1ac.ConfigMapApplyConfiguration, error) {
	policy, err := auditpolicy.Standard.YAML()
	if err != nil {
		return nil, err
	}
	return corev1ac.ConfigMap(AuditName, namespace).WithLabels(labels("audit")).
		WithData(map[string]string{AuditPolicy: string(policy), AuditFlags: FlagLines(AuditFiles)}), nil
}
