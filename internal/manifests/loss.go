package manifests

import corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

// LossAccountName is the ConfigMap in which the manager keeps the account of what
// API servers have lost, under the key KeyLossAccount.
const (
	LossAccountName = "trail-loss-account"
	KeyLossAccount  = "account.json"
)

// LossAccount builds it.
func LossAccount(namespace string, account []byte) *corev1ac.ConfigMapApplyConfiguration {
	return corev1ac.ConfigMap(LossAccountName, namespace).WithLabels(labels("loss-account")).
		WithData(map[string]string{KeyLossAccount: string(account)})
}
