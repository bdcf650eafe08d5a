// Package webhookconfig is the command that prints what a kube-apiserver needs
// to send its audit events: a kubeconfig, and flags.
package webhookconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

const long = `Print the kubeconfig with which one kube-apiserver sends its audit events to
the receiver, for --audit-webhook-config-file. It holds the client certificate
that the manager has issued for that API server, and its private key: keep the
file readable by kube-apiserver only.

Every API server has a certificate of its own. The manager issues one for each
name in receiver.apiServers of its configuration; add a name there and restart
the manager to get another.

With --flags, the matching flags of kube-apiserver are printed instead, each
after a comment on what it is for. The cluster is not asked for those.`

const example = `  # The file for the API server cp-1
  (umask 077; kubectl trail webhook-config --apiserver cp-1 > webhook.kubeconfig)

  # The flags to start it with
  kubectl trail webhook-config --apiserver cp-1 --flags

  # The same without comments
  kubectl trail webhook-config --apiserver cp-1 --flags | grep -v '^#'`

type options struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	clock   clock.PassiveClock

	apiServer         string
	operatorNamespace string
	flags             bool
	files             auditpolicy.Files
}

// NewCommand returns the command. The clock tells expired certificates.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &options{cluster: cluster, streams: streams, clock: c}
	cmd := &cobra.Command{
		Use:               "webhook-config --apiserver NAME [--flags]",
		Short:             "Print the audit webhook's kubeconfig, or the flags, for a kube-apiserver",
		Long:              long,
		Example:           example,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args:              o.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.flags {
				return o.printFlags()
			}
			return o.printKubeconfig(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.apiServer, "apiserver", "", "name of the API server, one of receiver.apiServers in the manager's configuration")
	f.StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	f.BoolVar(&o.flags, "flags", false, "print the flags of kube-apiserver instead")
	f.StringVar(&o.files.Policy, "policy-file", "/etc/kubernetes/audit/policy.yaml", "with --flags: where kube-apiserver finds the audit policy")
	f.StringVar(&o.files.Kubeconfig, "webhook-file", "/etc/kubernetes/audit/webhook.kubeconfig", "with --flags: where it finds the kubeconfig")
	f.StringVar(&o.files.Log, "log-file", "/var/log/kubernetes/audit/audit.log", "with --flags: where it keeps its own log; empty for none")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	_ = cmd.RegisterFlagCompletionFunc("apiserver", cobra.NoFileCompletions)
	return cmd
}

func (o *options) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 0:
		return errors.New("webhook-config takes no arguments; name the API server with --apiserver NAME")
	case o.apiServer == "":
		return errors.New("--apiserver is missing: name the API server, as in: kubectl trail webhook-config --apiserver cp-1")
	case !auditpolicy.IsAPIServerName(o.apiServer) || len(validation.IsDNS1123Subdomain(o.apiServer)) > 0:
		return fmt.Errorf("--apiserver %q must be 1 to 63 lower-case letters, digits, hyphens and dots", o.apiServer)
	case len(validation.IsDNS1123Label(o.operatorNamespace)) > 0:
		return fmt.Errorf("--operator-namespace %q is not the name of a namespace", o.operatorNamespace)
	}
	return nil
}

func (o *options) printFlags() error {
	for _, f := range auditpolicy.Flags(o.files) {
		if _, err := fmt.Fprintf(o.streams.Out, "# %s\n%s\n", f.Why, f); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) printKubeconfig(ctx context.Context) error {
	cl, err := o.cluster.Client()
	if err != nil {
		return err
	}
	w, err := o.webhook(ctx, cl)
	if err != nil {
		return err
	}
	b, err := w.Kubeconfig()
	if err != nil {
		return err
	}
	_, err = o.streams.Out.Write(b)
	return err
}

// webhook gathers what the manager has made for the API server.
func (o *options) webhook(ctx context.Context, cl client.Client) (auditpolicy.Webhook, error) {
	in, err := kube.ReadInstallation(ctx, cl, o.operatorNamespace)
	if apierrors.IsNotFound(err) {
		return auditpolicy.Webhook{}, fmt.Errorf("the manager has not written the ConfigMap %s in the namespace %q; "+
			"check that it runs, or name its namespace with --operator-namespace", manifests.InstallationName, o.operatorNamespace)
	}
	if err != nil {
		return auditpolicy.Webhook{}, kube.Request{Verb: "get", Resource: "configmaps", Namespace: o.operatorNamespace}.Explain(err)
	}
	if !receiverconfig.IsAccount(in.Account) || in.ReceiverURL == "" {
		return auditpolicy.Webhook{}, fmt.Errorf("the ConfigMap %s was changed by hand; restart the manager, which writes it again", manifests.InstallationName)
	}
	ca, pair, err := o.certificate(ctx, cl)
	if err != nil {
		return auditpolicy.Webhook{}, err
	}
	return auditpolicy.Webhook{
		URL: in.ReceiverURL, Account: in.Account, APIServer: o.apiServer, CA: ca, Cert: pair.Cert, Key: pair.Key,
	}, nil
}

// certificate reads the certificate that the manager has issued.
func (o *options) certificate(ctx context.Context, cl client.Client) (ca []byte, pair pki.KeyPair, err error) {
	name := manifests.APIServerCertName(o.apiServer)
	var s corev1.Secret
	err = cl.Get(ctx, client.ObjectKey{Namespace: o.operatorNamespace, Name: name}, &s)
	if apierrors.IsNotFound(err) {
		return nil, pki.KeyPair{}, fmt.Errorf("the manager has not issued a certificate for an API server %q; "+
			"add the name to receiver.apiServers in the manager's configuration and restart the manager", o.apiServer)
	}
	if err != nil {
		return nil, pki.KeyPair{}, kube.Request{Verb: "get", Resource: "secrets", Namespace: o.operatorNamespace}.Explain(err)
	}
	ca, pair = manifests.ReadCertificate(&s)
	cert, err := pair.Check(ca)
	switch {
	case err != nil:
		return nil, pki.KeyPair{}, fmt.Errorf("the Secret %s of the namespace %q was changed by hand; delete it and restart the manager, which issues another",
			name, o.operatorNamespace)
	case pki.Expired(cert, o.clock.Now()):
		return nil, pki.KeyPair{}, fmt.Errorf("the certificate of the API server %q expired on %s; delete the Secret %s of the namespace %q and restart the manager, which issues another",
			o.apiServer, cert.NotAfter.UTC().Format(time.DateOnly), name, o.operatorNamespace)
	}
	return ca, pair, nil
}
