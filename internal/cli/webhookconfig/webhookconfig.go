// Package webhookconfig is the command that prints what a kube-apiserver needs
// to send its audit events: a kubeconfig, and flags.
package webhookconfig

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
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
)

const long = `Print the kubeconfig with which one kube-apiserver sends its audit events to
the receiver, for --audit-webhook-config-file. It holds the client certificate
that the manager has issued for that API server, and its private key: keep the
file readable by kube-apiserver only. The same file is in the Secret
trail-apiserver-NAME of the operator's namespace, as webhook.kubeconfig.

Every API server has a certificate of its own. The manager issues one for each
name in receiver.apiServers of its configuration; add a name there and restart
the manager to get another.

With --flags, the matching flags of kube-apiserver are printed instead, each
after a comment on what it is for. The cluster is not asked for those. Without
other flags they are those of the ConfigMap trail-audit.

With --rotate, the manager issues another certificate for the API server first.
The receiver takes both until the API server has used nothing but the new one for
ten minutes, and refuses the old one from then on.

With --rotate-ca, the manager begins another CA. The receiver trusts both. As soon
as it does, the manager issues new certificates for all API servers: put what this
command prints for each in place. When every API server uses its new one, the old
CA and everything that it has issued are refused. Nothing is printed but what to
do next; the ConfigMap trail-certificates tells how far it is.

With --revoke, nobody is waited for: the receiver refuses what was replaced as soon as
it has its new configuration, in about two minutes. That is for a certificate or a CA
that was stolen, which somebody goes on using. API servers that use it lose events from
then on, until they are restarted with their new file. With --apiserver, --revoke refuses
those that the present certificate has taken the place of; with --rotate, too, also
the present one, for which another is issued.`

const example = `  # The file for the API server cp-1
  (umask 077; kubectl trail webhook-config --apiserver cp-1 > webhook.kubeconfig)

  # The same with another certificate
  (umask 077; kubectl trail webhook-config --rotate --apiserver cp-1 > webhook.kubeconfig)

  # The same, and refuse the old one, which was stolen, at once: restart cp-1 right away
  (umask 077; kubectl trail webhook-config --rotate --revoke --apiserver cp-1 > webhook.kubeconfig)

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
	rotate, rotateCA  bool
	revoke            bool
	files             auditpolicy.Files
}

// NewCommand returns the command. The clock tells expired certificates.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &options{cluster: cluster, streams: streams, clock: c}
	cmd := &cobra.Command{
		Use:               "webhook-config --apiserver NAME [--flags | --rotate] [--revoke] | --rotate-ca [--revoke]",
		Short:             "Print the audit webhook's kubeconfig, or the flags, for a kube-apiserver",
		Long:              long,
		Example:           example,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args:              o.args,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.flags:
				return o.printFlags()
			case o.rotateCA:
				return o.replaceCA(cmd.Context())
			}
			return o.printKubeconfig(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.apiServer, "apiserver", "", "name of the API server, one of receiver.apiServers in the manager's configuration")
	f.StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	f.BoolVar(&o.flags, "flags", false, "print the flags of kube-apiserver instead")
	f.BoolVar(&o.rotate, "rotate", false, "have another certificate issued for the API server first")
	f.BoolVar(&o.rotateCA, "rotate-ca", false, "have another CA take the place of the one that issues the certificates")
	f.BoolVar(&o.revoke, "revoke", false, "refuse at once what was replaced; API servers that use it lose events until they are restarted with their new file")
	cmd.MarkFlagsMutuallyExclusive("flags", "rotate", "rotate-ca")
	cmd.MarkFlagsMutuallyExclusive("flags", "revoke")
	cmd.MarkFlagsMutuallyExclusive("apiserver", "rotate-ca")
	f.StringVar(&o.files.Policy, "policy-file", manifests.AuditFiles.Policy, "with --flags: where kube-apiserver finds the audit policy")
	f.StringVar(&o.files.Kubeconfig, "webhook-file", manifests.AuditFiles.Kubeconfig, "with --flags: where it finds the kubeconfig")
	f.StringVar(&o.files.Log, "log-file", manifests.AuditFiles.Log, "with --flags: where it keeps its own log; empty for none")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	_ = cmd.RegisterFlagCompletionFunc("apiserver", cobra.NoFileCompletions)
	return cmd
}

func (o *options) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 0:
		return errors.New("webhook-config takes no arguments; name the API server with --apiserver NAME")
	case len(validation.IsDNS1123Label(o.operatorNamespace)) > 0:
		return fmt.Errorf("--operator-namespace %q is not the name of a namespace", o.operatorNamespace)
	case o.rotateCA:
		return nil
	case o.apiServer == "":
		return errors.New("--apiserver is missing: name the API server, as in: kubectl trail webhook-config --apiserver cp-1")
	case !auditpolicy.IsAPIServerName(o.apiServer) || len(validation.IsDNS1123Subdomain(o.apiServer)) > 0:
		return fmt.Errorf("--apiserver %q must be 1 to 63 lower-case letters, digits, hyphens and dots", o.apiServer)
	}
	return nil
}

func (o *options) printFlags() error {
	_, err := io.WriteString(o.streams.Out, manifests.FlagLines(o.files))
	return err
}

func (o *options) printKubeconfig(ctx context.Context) error {
	cl, err := o.cluster.Client()
	if err != nil {
		return err
	}
	if o.rotate {
		if err := o.replaceCertificate(ctx, cl); err != nil {
			return err
		}
	}
	kubeconfig, cert, err := o.read(ctx, cl)
	if err != nil {
		return err
	}
	if _, err := o.streams.Out.Write(kubeconfig); err != nil || !o.revoke {
		return err
	}
	return o.revokeCertificates(ctx, cl, pki.Fingerprint(cert))
}

// read reads what the manager has made for the API server.
func (o *options) read(ctx context.Context, cl client.Client) (kubeconfig []byte, cert *x509.Certificate, err error) {
	name := manifests.APIServerCertName(o.apiServer)
	var s corev1.Secret
	err = cl.Get(ctx, client.ObjectKey{Namespace: o.operatorNamespace, Name: name}, &s)
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("the manager has not issued a certificate for an API server %q; "+
			"add the name to receiver.apiServers in the manager's configuration and restart the manager, or name its namespace with --operator-namespace", o.apiServer)
	}
	if err != nil {
		return nil, nil, kube.Request{Verb: "get", Resource: "secrets", Namespace: o.operatorNamespace}.Explain(err)
	}
	a := manifests.ReadAPIServer(&s)
	cert, err = a.CheckKey()
	switch {
	case err != nil || len(a.Kubeconfig) == 0:
		return nil, nil, fmt.Errorf("the Secret %s of the namespace %q was changed by hand; the manager mends it within a minute: "+
			"check that it runs, and its log", name, o.operatorNamespace)
	case pki.Expired(cert, o.clock.Now()):
		return nil, nil, fmt.Errorf("the certificate of the API server %q expired on %s; have another one issued with --rotate, or with --rotate-ca if the CA has expired, too",
			o.apiServer, cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return a.Kubeconfig, cert, nil
}
