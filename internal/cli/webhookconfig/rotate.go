package webhookconfig

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

// The manager looks every five seconds whether something was asked for.
const (
	patience = time.Minute
	interval = 500 * time.Millisecond
)

// replaceCertificate asks the manager for another certificate and waits for it.
func (o *options) replaceCertificate(ctx context.Context, cl client.Client) error {
	key := manifests.CertificatesAPIServer + o.apiServer
	old, err := o.ask(ctx, cl, key)
	if err != nil {
		return err
	}
	if old == "" {
		return fmt.Errorf("the manager has not issued a certificate for an API server %q; "+
			"add the name to receiver.apiServers in the manager's configuration and restart the manager", o.apiServer)
	}
	if err := o.until(ctx, cl, func(data map[string]string) bool { return data[key] != old }); err != nil {
		return err
	}
	next := "The old certificate is refused once it has not been used for ten minutes."
	if o.revoke {
		next = ""
	}
	_, err = fmt.Fprintln(o.streams.ErrOut, strings.TrimSpace(fmt.Sprintf("A new certificate was issued for the API server %s. "+
		"Put this file in place and restart that API server. %s", o.apiServer, next)))
	return err
}

// revokeCertificates asks the manager to refuse those that the one with this
// fingerprint has taken the place of.
func (o *options) revokeCertificates(ctx context.Context, cl client.Client, fingerprint string) error {
	cm, err := o.certificates(ctx, cl)
	if err != nil {
		return err
	}
	if err := o.write(ctx, cl, cm, manifests.RevokePrefix+manifests.CertificatesAPIServer+o.apiServer, fingerprint); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.streams.ErrOut, "Warning: what the certificate in this file has taken the place of is refused in about two minutes. "+
		"If the API server %s uses any of that, it loses events from then on: put this file in place and restart it now.\n", o.apiServer)
	return err
}

// replaceCA asks the manager for another CA and waits until it has begun, and
// with --revoke until it is the only one.
func (o *options) replaceCA(ctx context.Context) error {
	cl, err := o.cluster.Client()
	if err != nil {
		return err
	}
	old, err := o.ask(ctx, cl, manifests.CertificatesCA)
	if err != nil {
		return err
	}
	var last map[string]string
	replaced := func(data map[string]string) bool { last = data; return data[manifests.CertificatesCA] != old }
	begun := func(data map[string]string) bool { return replaced(data) || data[manifests.CertificatesNextCA] != "" }
	if err := o.until(ctx, cl, begun); err != nil {
		return err
	}
	if next := last[manifests.CertificatesNextCA]; o.revoke && next != "" {
		return o.revokeCA(ctx, cl, next, replaced)
	}
	_, err = fmt.Fprintf(o.streams.ErrOut, `The new CA has begun. %s
In about two minutes there is a new certificate for each API server. For one after the other:
  (umask 077; kubectl trail webhook-config --apiserver NAME > webhook.kubeconfig)
Put the file in place and restart that API server. The old CA is refused when all of them have used nothing else for ten minutes.
How far it is: kubectl -n %s get configmap %s -o jsonpath='{.data.%s}'
`, last[manifests.CertificatesRotation], o.operatorNamespace, manifests.CertificatesName, manifests.CertificatesRotation)
	return err
}

// revokeCA asks the manager to end with the old CA, and waits for that.
func (o *options) revokeCA(ctx context.Context, cl client.Client, next string, done func(data map[string]string) bool) error {
	cm, err := o.certificates(ctx, cl)
	if err != nil {
		return err
	}
	if err := o.write(ctx, cl, cm, manifests.RevokePrefix+manifests.CertificatesCA, next); err != nil {
		return err
	}
	if err := o.until(ctx, cl, done); err != nil {
		return err
	}
	_, err = fmt.Fprint(o.streams.ErrOut, `Warning: the old CA and everything that it has issued are refused in about two minutes.
Each API server that has no file of the new CA loses events from then on. For each of them, now:
  (umask 077; kubectl trail webhook-config --apiserver NAME > webhook.kubeconfig)
Put the file in place and restart that API server.
`)
	return err
}

// ask asks for the rotation of what stands under key, and returns its present
// fingerprint. Asking again before it is done changes nothing.
func (o *options) ask(ctx context.Context, cl client.Client, key string) (fingerprint string, err error) {
	cm, err := o.certificates(ctx, cl)
	if err != nil {
		return "", err
	}
	fingerprint = cm.Data[key]
	if fingerprint == "" {
		return "", nil
	}
	return fingerprint, o.write(ctx, cl, cm, manifests.RotatePrefix+key, fingerprint)
}

// write writes a request into the ConfigMap of certificates.
func (o *options) write(ctx context.Context, cl client.Client, cm *corev1.ConfigMap, key, fingerprint string) error {
	asked := cm.DeepCopy()
	if asked.Data == nil {
		asked.Data = map[string]string{}
	}
	asked.Data[key] = fingerprint
	err := cl.Patch(ctx, asked, client.MergeFrom(cm))
	return kube.Request{Verb: "patch", Resource: "configmaps", Namespace: o.operatorNamespace, Name: manifests.CertificatesName}.Explain(err)
}

// until waits for the manager.
func (o *options) until(ctx context.Context, cl client.Client, done func(data map[string]string) bool) error {
	var last map[string]string
	err := wait.PollUntilContextTimeout(ctx, interval, patience, true, func(ctx context.Context) (bool, error) {
		cm, err := o.certificates(ctx, cl)
		if err != nil {
			return false, err
		}
		last = cm.Data
		return done(cm.Data), nil
	})
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; the manager goes on with what it was asked for")
	case wait.Interrupted(err) && last[manifests.CertificatesRotation] != "":
		return errors.New("the manager has not done it: " + last[manifests.CertificatesRotation])
	case wait.Interrupted(err):
		return errors.New("the manager was asked and has not answered within a minute; check that it runs, and its log, then run this command again")
	}
	return err
}

func (o *options) certificates(ctx context.Context, cl client.Client) (*corev1.ConfigMap, error) {
	var cm corev1.ConfigMap
	err := cl.Get(ctx, client.ObjectKey{Namespace: o.operatorNamespace, Name: manifests.CertificatesName}, &cm)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the manager has not written the ConfigMap %s in the namespace %q; "+
			"check that it runs, or name its namespace with --operator-namespace", manifests.CertificatesName, o.operatorNamespace)
	}
	return &cm, kube.Request{Verb: "get", Resource: "configmaps", Namespace: o.operatorNamespace}.Explain(err)
}
