package manifests

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Keys of the ConfigMap InstallationName.
const (
	InstallationUID          = "uid"
	InstallationAccount      = "account"
	InstallationRegion       = "region"
	InstallationOrganization = "organization"
	InstallationReceiverURL  = "receiverURL" // https://host:port as API servers reach it
	InstallationManager      = "manager"     // user name of the manager, to whom tenants grant access
	InstallationClusterIP    = "clusterIP"   // of the receiver's Service, which gets it again when it is made anew
	InstallationTailSince    = "tailSince"   // when tails were switched on; absent while they are off
)

// Identity builds the ConfigMap that keeps what is drawn once: the UID of the
// installation and the account that was derived.
func Identity(namespace, uid, account string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: InstallationName, Labels: labels("manager")},
		Data:       map[string]string{InstallationUID: uid, InstallationAccount: account},
	}
}

// Described is what the ConfigMap InstallationName says besides what was drawn.
type Described struct {
	ReceiverURL string // https://host:port as API servers reach it
	Manager     string // user name of the manager
	ClusterIP   string // of the receiver's Service; empty when somebody else runs the receiver
	TailSince   string // when tails were switched on; empty while they are off
}

// Installation builds the rest of the same ConfigMap: what the configuration
// says now, for the command line to read.
func Installation(namespace string, in receiverconfig.Installation, d Described) *corev1ac.ConfigMapApplyConfiguration {
	cm := corev1ac.ConfigMap(InstallationName, namespace).WithLabels(labels("manager")).WithData(map[string]string{
		InstallationUID: in.UID, InstallationAccount: in.Account, InstallationRegion: in.Region,
		InstallationOrganization: in.Organization, InstallationReceiverURL: d.ReceiverURL, InstallationManager: d.Manager,
	})
	if d.ClusterIP != "" {
		cm.WithData(map[string]string{InstallationClusterIP: d.ClusterIP})
	}
	if d.TailSince != "" {
		cm.WithData(map[string]string{InstallationTailSince: d.TailSince})
	}
	return cm
}

// SigningKey builds the Secret with the private key that signs digests.
func SigningKey(namespace string, pem []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: SigningKeyName, Labels: labels("digest")},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{receiverconfig.FileSigningKey: pem},
	}
}

// DigestKeys builds the ConfigMap with the published keys. It is applied with
// all of them: public keys are never deleted.
func DigestKeys(namespace string, keys []record.PublishedKey) *corev1ac.ConfigMapApplyConfiguration {
	data := make(map[string]string, len(keys))
	for _, k := range keys {
		data[k.Fingerprint+".json"] = string(record.MustJSON(k))
	}
	return corev1ac.ConfigMap(DigestKeysName, namespace).WithLabels(labels("digest")).WithData(data)
}
