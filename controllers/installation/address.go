package installation

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

// address finds out how the receiver is reached. With a workload that takes its
// Service, which is made here because certificates name its cluster IP.
func (e *ensurer) address(ctx context.Context) error {
	e.receiver = e.config.Receiver
	if e.receiver.Workload == nil {
		return nil
	}
	e.in.Receiver = &manifests.ReceiverWorkload{Namespace: e.config.Namespace, Workload: e.receiver.Workload}
	var err error
	if e.in.ClusterIP, err = e.clusterIP(ctx); err != nil {
		return err
	}
	e.receiver = e.receiver.ServedAt(e.in.ClusterIP)
	return nil
}

// clusterIP is that of the receiver's Service. API servers know the receiver
// by it, so a Service that is missing gets the one again that it had.
func (e *ensurer) clusterIP(ctx context.Context) (string, error) {
	log := logf.FromContext(ctx).WithName("installation")
	wanted := e.receiver.Workload.Service.ClusterIP
	var present corev1.Service
	err := e.client.Get(ctx, client.ObjectKey{Namespace: e.config.Namespace, Name: manifests.ReceiverName}, &present)
	if err == nil {
		if present.Spec.ClusterIP == "" || present.Spec.ClusterIP == corev1.ClusterIPNone {
			return "", fmt.Errorf("the Service %s has no cluster IP: delete it, and the manager makes it anew", present.Name)
		}
		if wanted != "" && wanted != present.Spec.ClusterIP {
			log.Info("The cluster IP of the receiver's Service stays as it is; to change it, delete the Service, restart the manager and connect each API server again",
				"clusterIP", present.Spec.ClusterIP, "configured", wanted)
		}
		return present.Spec.ClusterIP, nil
	}
	if !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("reading the Service %s: %w", manifests.ReceiverName, err)
	}
	before := e.kept[manifests.InstallationClusterIP]
	ip, err := e.makeService(ctx, cmp.Or(wanted, before))
	if !apierrors.IsInvalid(err) || wanted != "" || before == "" {
		return ip, err
	}
	if ip, err = e.makeService(ctx, ""); err == nil {
		log.Info("The receiver has another address, because its Service was gone and the old one is not to be had. Connect each API server again",
			"clusterIP", ip, "before", before)
	}
	return ip, err
}

func (e *ensurer) makeService(ctx context.Context, ip string) (string, error) {
	service := e.in.Receiver.Service(ip)
	if err := e.client.Apply(ctx, service, client.FieldOwner(manifests.FieldOwner), client.ForceOwnership); err != nil {
		return "", fmt.Errorf("making the Service %s with the cluster IP %q: %w", manifests.ReceiverName, ip, err)
	}
	if service.Spec == nil || service.Spec.ClusterIP == nil || *service.Spec.ClusterIP == "" {
		return "", fmt.Errorf("the API server has given the Service %s no cluster IP", manifests.ReceiverName)
	}
	return *service.Spec.ClusterIP, nil
}
