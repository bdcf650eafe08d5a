// Package grant is the command that prints the Role with which a tenant lets
// the operator read a trail's credentials.
package grant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

const long = `Print the smallest Role, and its RoleBinding, that let the operator read the
credentials of a trail: get on that one Secret, in its own namespace, for the
operator's own identity. Nothing is applied; pipe it to kubectl apply -f -.

The Secret of an organization trail is in the operator's namespace. As it is
installed, the operator may read that one already; print the Role for it where
you have narrowed the operator's permissions.

Who the operator is says the ConfigMap ` + manifests.InstallationName + ` in the operator's namespace.
Where you may not read it, the default service account is assumed, and said so
on the standard error output.`

const example = `  # Let the operator read the credentials of a trail
  kubectl trail grant audit -n shop | kubectl apply -f -

  # That of an organization trail
  kubectl trail grant organizationtrail/audit | kubectl apply -f -

  # Before the trail exists
  kubectl trail grant --secret audit-bucket -n shop | kubectl apply -f -`

// ServiceAccount is the operator's unless its installer has chosen another.
const ServiceAccount = "trail-operator-manager"

// lookTimeout bounds the look at the ConfigMap: there is a default without it.
const lookTimeout = 5 * time.Second

type options struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams

	secret            string
	operatorNamespace string
	serviceAccount    string
}

// NewCommand returns the command.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{cluster: cluster, streams: streams}
	cmd := &cobra.Command{
		Use:               "grant TRAIL | --secret NAME",
		Short:             "Print the Role that lets the operator read a trail's credentials",
		Long:              long,
		Example:           example,
		ValidArgsFunction: kube.CompleteTrail(cluster),
		Args:              o.args,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVar(&o.secret, "secret", "", "name of the Secret, instead of that of a trail")
	cmd.Flags().StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	cmd.Flags().StringVar(&o.serviceAccount, "operator-service-account", "",
		"service account of the operator in its namespace, if it is not the one that the operator has written down")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	return cmd
}

func (o *options) args(_ *cobra.Command, args []string) error {
	if len(args) > 1 || (len(args) == 1) == (o.secret != "") {
		return errors.New("grant takes the name of one trail or --secret NAME, as in: kubectl trail grant audit")
	}
	if o.secret != "" && len(validation.IsDNS1123Subdomain(o.secret)) > 0 {
		return fmt.Errorf("--secret %q is not the name of a Secret: lower-case letters, digits, hyphens and dots", o.secret)
	}
	if len(validation.IsDNS1123Label(o.operatorNamespace)) > 0 {
		return fmt.Errorf("--operator-namespace %q is not the name of a namespace", o.operatorNamespace)
	}
	if o.serviceAccount != "" && len(validation.IsDNS1123Subdomain(o.serviceAccount)) > 0 {
		return fmt.Errorf("--operator-service-account %q is not the name of a service account", o.serviceAccount)
	}
	return nil
}

func (o *options) run(ctx context.Context, args []string) error {
	ns, err := o.cluster.Namespace()
	if err != nil {
		return err
	}
	secret := o.secret
	if secret == "" {
		t, err := kube.Trail(ctx, o.cluster, args[0])
		if err != nil {
			return err
		}
		if secret = t.Spec.Destination.CredentialsSecret(); secret == "" {
			return fmt.Errorf("trail %q names no Secret: it uses the operator's own identity, for which there is nothing to grant", args[0])
		}
		if t.IsOrganizationTrail() {
			ns = o.operatorNamespace
		}
	}
	_, err = io.WriteString(o.streams.Out, manifests.GrantYAML(ns, secret, o.operator(ctx)))
	return err
}

// operator is whom the Secret is opened to.
func (o *options) operator(ctx context.Context) rbacv1.Subject {
	account := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: o.operatorNamespace, Name: o.serviceAccount}
	if account.Name != "" {
		return account
	}
	if name := o.writtenDown(ctx); name != "" {
		return manifests.Subject(name)
	}
	account.Name = ServiceAccount
	fmt.Fprintf(o.streams.ErrOut, "Assuming that the operator is the service account %s of the namespace %s; "+
		"if the trail's condition names another, use --operator-namespace and --operator-service-account.\n", account.Name, account.Namespace)
	return account
}

// writtenDown is the user name that the operator has written down for us;
// empty if it cannot be read.
func (o *options) writtenDown(ctx context.Context) string {
	cl, err := o.cluster.Client()
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	in, err := kube.ReadInstallation(ctx, cl, o.operatorNamespace)
	if err != nil {
		return ""
	}
	return in.Manager
}
