// Package installation makes what exists once: the identity of the
// installation, its certificates, its signing key, and the configuration of
// the receiver, into which the controllers render trails.
package installation

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// +kubebuilder:rbac:groups="",resources=namespaces,resourceNames=kube-system,verbs=get
// Creating cannot be limited by name, and reading is not: the Secrets with the
// certificates of API servers are named after these (trail-apiserver-NAME).
// What may be changed is limited to what the manager changes: the signing key is
// not, and the Secrets of API servers are named in config/rbac/role-apiservers.yaml.
//
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=secrets,verbs=get;create
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=secrets,resourceNames=trail-intake-ca;trail-receiver-tls;trail-manager-tls,verbs=update
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=secrets,resourceNames=trail-receiver-config;trail-receiver-config-0;trail-receiver-config-1;trail-receiver-config-2;trail-receiver-config-3;trail-receiver-config-4;trail-receiver-config-5;trail-receiver-config-6;trail-receiver-config-7;trail-receiver-config-8;trail-receiver-config-9;trail-receiver-config-10;trail-receiver-config-11;trail-receiver-config-12;trail-receiver-config-13;trail-receiver-config-14;trail-receiver-config-15,verbs=patch
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=configmaps,verbs=create
// +kubebuilder:rbac:groups="",namespace=trail-operator-system,resources=configmaps,resourceNames=trail-installation;trail-digest-keys;trail-certificates;trail-audit,verbs=get;patch

// Installation is what Ensure found or made.
type Installation struct {
	receiverconfig.Installation
	// Manager is who the manager is to the API server: the subject to which
	// tenants grant access to a Secret.
	Manager rbacv1.Subject
	// Keys are all public keys that ever signed digests, the oldest first.
	Keys []record.PublishedKey
	// Receiver builds the objects that run the receiver, whose Service has the
	// address ClusterIP; nil when somebody else runs it.
	Receiver  *manifests.ReceiverWorkload
	ClusterIP string

	Publisher *Publisher

	certificates atomic.Pointer[Certificates]
	ensurer      *ensurer
}

// Certificates are those that were found or made last.
func (in *Installation) Certificates() *Certificates {
	if c := in.certificates.Load(); c != nil {
		return c
	}
	return &Certificates{}
}

// SetCertificates says which certificates are in use.
func (in *Installation) SetCertificates(c *Certificates) { in.certificates.Store(c) }

// ensurer makes an installation step by step.
type ensurer struct {
	client client.Client
	config *managerconfig.Config
	clock  clock.PassiveClock
	in     *Installation

	username string                 // of the manager
	kept     map[string]string      // data of the ConfigMap of the installation
	receiver managerconfig.Receiver // with all addresses

	signing []byte // PEM
	// receiverStatus asks the receiver; nil before the manager leads. settle is
	// how long certificates that were replaced must have been out of use.
	receiverStatus func(context.Context) *receiverstatus.Status
	settle         time.Duration
}

// Ensure makes what is missing of the installation. It never replaces the
// signing key, nor what is rendered for the receiver: the Keeper does, once this
// manager leads. Two managers may do it at once: what is drawn is created, or
// written over what was read, so both end with the same. The client must not
// cache Secrets and ConfigMaps.
func Ensure(ctx context.Context, c client.Client, config *managerconfig.Config, clk clock.PassiveClock) (*Installation, error) {
	e := &ensurer{client: c, config: config, clock: clk, in: &Installation{Publisher: NewPublisher(c, config.Namespace)}}
	e.in.ensurer = e
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"identity", e.identity},
		{"address of the receiver", e.address},
		{"description", e.describe},
		{"files of kube-apiserver", e.audit},
		{"signing key", e.signingKey},
		{"certificates", e.certificates},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("installation: %s: %w", step.name, err)
		}
	}
	return e.in, nil
}

// certificates makes those that are missing. The Keeper goes on telling of those
// of single API servers that cannot be made: trails do not wait for that.
func (e *ensurer) certificates(ctx context.Context) error {
	err := e.keep(ctx)
	if errors.As(err, new(*unkept)) {
		logf.FromContext(ctx).WithName("certificates").Error(err, "Some certificates cannot be kept; going on without them")
		return nil
	}
	return err
}

func (e *ensurer) identity(ctx context.Context) error {
	var review authenticationv1.SelfSubjectReview
	if err := e.client.Create(ctx, &review); err != nil {
		return fmt.Errorf("asking the API server who the manager is: %w", err)
	}
	e.username = review.Status.UserInfo.Username
	e.in.Manager = manifests.Subject(e.username)

	account := e.config.Account
	if account == "" {
		var system corev1.Namespace
		if err := e.client.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system); err != nil {
			return fmt.Errorf("reading the UID of the namespace kube-system, of which the account is made: %w", err)
		}
		account = deriveAccount(string(system.UID))
	}
	kept := manifests.Identity(e.config.Namespace, uuid.NewString(), account)
	if err := e.client.Create(ctx, kept); apierrors.IsAlreadyExists(err) {
		if err := e.client.Get(ctx, client.ObjectKeyFromObject(kept), kept); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("creating the ConfigMap %s in the namespace %s: %w", kept.Name, kept.Namespace, err)
	}
	uid := kept.Data[manifests.InstallationUID]
	if e.config.Account == "" {
		account = kept.Data[manifests.InstallationAccount]
	}
	if uid == "" || !receiverconfig.IsAccount(account) {
		return fmt.Errorf("the ConfigMap %s was changed: it must hold %s and %s", kept.Name,
			manifests.InstallationUID, manifests.InstallationAccount)
	}
	e.in.Installation = receiverconfig.Installation{
		UID: uid, Account: account, Region: e.config.Region, Organization: e.config.Organization,
	}
	e.kept = kept.Data
	return nil
}

// describe writes down what the configuration says now.
func (e *ensurer) describe(ctx context.Context) error {
	return e.client.Apply(ctx, manifests.Installation(e.config.Namespace, e.in.Installation, manifests.Described{
		ReceiverURL: "https://" + e.receiver.APIServerAddress, Manager: e.username, ClusterIP: e.in.ClusterIP, TailSince: e.tailSince(),
	}), client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
}

// tailSince is when tails were switched on: what they have noted before is of no
// use, since the receiver has forgotten what the webhook brought meanwhile.
func (e *ensurer) tailSince() string {
	switch before := e.kept[manifests.InstallationTailSince]; {
	case !e.config.Intake.Tail.Enabled:
		return ""
	case before != "":
		return before
	}
	return e.clock.Now().UTC().Format(time.RFC3339)
}

// secret reads a Secret, or creates the one that fresh makes.
func (e *ensurer) secret(ctx context.Context, name string, fresh func() (*corev1.Secret, error)) (*corev1.Secret, error) {
	key := client.ObjectKey{Namespace: e.config.Namespace, Name: name}
	var s corev1.Secret
	err := e.client.Get(ctx, key, &s)
	if !apierrors.IsNotFound(err) {
		return &s, err
	}
	made, err := fresh()
	if err != nil {
		return nil, err
	}
	if err := e.client.Create(ctx, made); err == nil {
		return made, nil
	} else if !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("creating the Secret %s: %w", name, err)
	}
	return &s, e.client.Get(ctx, key, &s) // another manager was faster
}

// audit keeps what every kube-apiserver needs besides its kubeconfig.
func (e *ensurer) audit(ctx context.Context) error {
	cm, err := manifests.Audit(e.config.Namespace)
	if err != nil {
		return err
	}
	return e.client.Apply(ctx, cm, client.FieldOwner(manifests.FieldOwner), client.ForceOwnership)
}
