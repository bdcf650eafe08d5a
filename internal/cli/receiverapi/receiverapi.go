// Package receiverapi is the commands' way to the receiver itself: with the
// manager's certificate, which only who installs the operator can read, and
// through the API server to the receiver's pod.
package receiverapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverclient"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
)

// Access says how the receiver is reached.
type Access struct {
	OperatorNamespace string
	// Address is host:port of a receiver that is reached directly.
	Address string
}

// AddFlags adds the flags that set it.
func (a *Access) AddFlags(cmd *cobra.Command, cluster kube.Cluster) {
	f := cmd.PersistentFlags()
	f.StringVar(&a.OperatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	f.StringVar(&a.Address, "receiver", "", "host:port of the receiver, if you reach it directly; by default through the API server, as kubectl port-forward does")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	_ = cmd.RegisterFlagCompletionFunc("receiver", cobra.NoFileCompletions)
}

// Connect returns a client of the receiver. done ends its connections.
func (a *Access) Connect(ctx context.Context, cluster kube.Cluster) (c *receiverclient.Client, done func(), err error) {
	if len(validation.IsDNS1123Label(a.OperatorNamespace)) > 0 {
		return nil, nil, fmt.Errorf("--operator-namespace %q is not the name of a namespace", a.OperatorNamespace)
	}
	if _, _, err := net.SplitHostPort(a.Address); a.Address != "" && err != nil {
		return nil, nil, errors.New("--receiver must be HOST:PORT")
	}
	cl, err := cluster.Client()
	if err != nil {
		return nil, nil, err
	}
	var s corev1.Secret
	err = cl.Get(ctx, client.ObjectKey{Namespace: a.OperatorNamespace, Name: manifests.ManagerCertName}, &s)
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("there is no Secret %s in namespace %q, which the manager makes; name the operator's namespace with --operator-namespace",
			manifests.ManagerCertName, a.OperatorNamespace)
	}
	if err != nil {
		return nil, nil, kube.Request{Verb: "get", Resource: "secrets", Namespace: a.OperatorNamespace}.Explain(err)
	}
	ca, pair := manifests.ReadCertificate(&s)
	address, err := a.direct(ctx, cl)
	if err != nil {
		return nil, nil, err
	}
	if address != "" {
		c, err = receiverclient.New(address, ca, pair)
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	}
	way, err := cluster.Forward(a.OperatorNamespace, manifests.ReceiverName+"-0", managerconfig.IntakePort)
	if err != nil {
		return nil, nil, err
	}
	address = net.JoinHostPort(manifests.ReceiverName+"."+a.OperatorNamespace+".svc", strconv.Itoa(managerconfig.IntakePort))
	c, err = receiverclient.NewVia(way.Dial, address, ca, pair)
	if err != nil {
		return nil, nil, err
	}
	return c, func() { c.Close(); _ = way.Close() }, nil
}

// direct is the address of a receiver that the manager does not run: there is no
// pod of that name to go to.
func (a *Access) direct(ctx context.Context, cl client.Client) (string, error) {
	if a.Address != "" {
		return a.Address, nil
	}
	var m corev1.ConfigMap
	if err := cl.Get(ctx, client.ObjectKey{Namespace: a.OperatorNamespace, Name: manifests.InstallationName}, &m); err != nil {
		return "", kube.Request{Verb: "get", Resource: "configmaps", Namespace: a.OperatorNamespace, Name: manifests.InstallationName}.Explain(err)
	}
	if m.Data[manifests.InstallationClusterIP] != "" {
		return "", nil
	}
	u, err := url.Parse(m.Data[manifests.InstallationReceiverURL])
	if err != nil || u.Host == "" {
		return "", errors.New("the installation does not tell where its receiver is; name it with --receiver HOST:PORT")
	}
	return u.Host, nil
}

// Each calls fn for what is kept, page by page, until there is no more or fn
// returns false. more is where to go on after that.
func Each(ctx context.Context, c *receiverclient.Client, kinds []string, trail, after string, fn func(receiverstatus.Kept) bool) (more string, err error) {
	for {
		page, err := c.Kept(ctx, kinds, trail, 0, after)
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			if !fn(page.Items[i]) {
				return after, nil
			}
			after = page.Items[i].ID
		}
		if page.Continue == "" || len(page.Items) == 0 {
			return "", nil
		}
	}
}

// Refused is returned by commands of which a part was refused.
type Refused string

// Error implements error.
func (r Refused) Error() string { return string(r) }

// ExitCode says that the answer is no.
func (Refused) ExitCode() int { return 1 }
