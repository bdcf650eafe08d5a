package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// OperatorNamespace is where the operator is installed unless the installer
// has chosen another namespace.
const OperatorNamespace = "trail-operator-system"

// Installation is what the manager has written down about itself.
type Installation struct {
	Account      string
	Organization string // ID in the keys of OrganizationTrails; may be empty
	ReceiverURL  string // https://host:port as API servers reach it
	Manager      string // user name of the manager
}

// ReadInstallation reads it from the namespace of the installation. The error
// is the API server's.
func ReadInstallation(ctx context.Context, cl client.Client, namespace string) (Installation, error) {
	var m corev1.ConfigMap
	if err := cl.Get(ctx, client.ObjectKey{Namespace: namespace, Name: manifests.InstallationName}, &m); err != nil {
		return Installation{}, err
	}
	return Installation{
		Account:      m.Data[manifests.InstallationAccount],
		Organization: m.Data[manifests.InstallationOrganization],
		ReceiverURL:  m.Data[manifests.InstallationReceiverURL],
		Manager:      m.Data[manifests.InstallationManager],
	}, nil
}
