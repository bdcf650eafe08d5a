// Package manifests builds the Kubernetes objects that the manager writes, and
// the files of the receiver's configuration. Everything here is a pure
// function of its arguments.
package manifests

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Names of the objects of one installation, all in its namespace.
const (
	// LeaseName is the Lease of the manager that leads. No ConfigMap that kustomize
	// generates has this name: it would be changed in the Role, too.
	LeaseName = "trail-operator-leader"
	// InstallationName is the ConfigMap that says what this installation is.
	InstallationName = "trail-installation"
	// IntakeCAName is the Secret with the CA that issues all certificates below,
	// an Authority.
	IntakeCAName = "trail-intake-ca"
	// CertificatesName is the ConfigMap that tells of certificates, and in which
	// their rotation is asked for.
	CertificatesName = "trail-certificates"
	// AuditName is the ConfigMap with the audit policy and the flags of
	// kube-apiserver.
	AuditName = "trail-audit"
	// ServerCertName is the Secret with the receiver's server certificate.
	ServerCertName = "trail-receiver-tls"
	// ManagerCertName is the Secret with the manager's client certificate.
	ManagerCertName = "trail-manager-tls"
	// SigningKeyName is the Secret with the key that signs digests.
	SigningKeyName = "trail-digest-signing-key"
	// DigestKeysName is the ConfigMap with all public keys that ever signed,
	// one record.PublishedKey per <fingerprint>.json.
	DigestKeysName = "trail-digest-keys"
	// ReceiverConfigName is the Secret with receiver.json and the PEM files; the
	// files of the trails are in ReceiverShardName(0) and so on.
	ReceiverConfigName = "trail-receiver-config"
)

// APIServerCertName is the Secret with the client certificate of an API server.
func APIServerCertName(apiServer string) string { return "trail-apiserver-" + apiServer }

// Labels and their values.
const (
	// ReceiverConfigLabel is on every Secret whose files make up the receiver's
	// configuration folder. Its value is "true".
	ReceiverConfigLabel = "trail-operator.io/receiver-config"

	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPartOf    = "app.kubernetes.io/part-of"
	labelComponent = "app.kubernetes.io/component"

	projectName = "trail-operator"
)

// FieldOwner owns the fields that the manager applies.
const FieldOwner = "trail-operator/manager"

func labels(component string) map[string]string {
	return map[string]string{labelManagedBy: projectName, labelPartOf: projectName, labelComponent: component}
}

// IsOurs reports whether the manager has made the object.
func IsOurs(o metav1.Object) bool { return o.GetLabels()[labelManagedBy] == projectName }
