package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/apis/audit/install"
	"k8s.io/apiserver/pkg/apis/audit/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/pki"
)

const linkWebhookFile = "webhook file"

// checkPolicy decodes and validates an audit policy as kube-apiserver does,
// but strictly: kube-apiserver leaves out what it does not know.
func checkPolicy(path string) Finding {
	f := Finding{State: Problem, Link: linkPolicy, Next: "print it anew with `kubectl trail audit-policy`"}
	b, _, err := readFile(path)
	if err != nil {
		f.Message = err.Error()
		return f
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	policy := &audit.Policy{}
	_, kind, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder().Decode(b, nil, policy)
	switch {
	case err != nil:
		f.Message = "kube-apiserver does not read it in full: " + oneLine(err)
		return f
	case kind.Kind != "Policy":
		f.Message = fmt.Sprintf("it holds a %s", kind.Kind)
		return f
	case len(policy.Rules) == 0:
		f.Message = "it has no rules, and kube-apiserver refuses that"
		return f
	}
	if errs := validation.ValidatePolicy(policy); len(errs) > 0 {
		f.Message = "kube-apiserver refuses it: " + oneLine(errs.ToAggregate())
		return f
	}
	return Finding{State: OK, Link: linkPolicy, Message: fmt.Sprintf("kube-apiserver reads it: %s", plural(len(policy.Rules), "rule"))}
}

// webhookFile is what a webhook's kubeconfig says.
type webhookFile struct {
	url                *url.URL
	account, apiServer string
	config             *rest.Config
}

// loadWebhook loads a kubeconfig as kube-apiserver does, and checks what it
// says; nil when it says nothing that could be called.
func loadWebhook(path string, now time.Time) (*webhookFile, []Finding) {
	again := "print it anew with `kubectl trail webhook-config`"
	broken := func(format string, args ...any) []Finding {
		return []Finding{{State: Problem, Link: linkWebhookFile, Message: fmt.Sprintf(format, args...), Next: again}}
	}
	b, mode, err := readFile(path)
	if err != nil {
		return nil, broken("%v", err)
	}
	parsed, err := clientcmd.Load(b)
	if err != nil {
		return nil, broken("it is no kubeconfig: %s", oneLine(err))
	}
	if parsed.CurrentContext == "" {
		return nil, broken("it has no current-context, so kube-apiserver would post to nowhere")
	}
	config, err := clientcmd.NewDefaultClientConfig(*parsed, nil).ClientConfig()
	if err != nil {
		return nil, broken("kube-apiserver does not accept it: %s", oneLine(err))
	}
	w := &webhookFile{config: config}
	if w.url, err = url.Parse(config.Host); err != nil || w.url.Scheme != "https" || w.url.Port() == "" {
		return nil, broken("its server must be https://host:port and a path")
	}
	rest, ok := strings.CutPrefix(w.url.Path, auditpolicy.PathPrefix)
	if w.account, w.apiServer, _ = strings.Cut(rest, "/"); !ok || w.account == "" || !auditpolicy.IsAPIServerName(w.apiServer) {
		return nil, broken("the path of its server is not that of a receiver: %s<account>/<API server>", auditpolicy.PathPrefix)
	}
	again = "print it anew with `kubectl trail webhook-config --apiserver " + w.apiServer + "`"
	if config.Insecure || len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		return nil, broken("it must hold the CA, the certificate and the key themselves, not the names of files, which kube-apiserver may not find")
	}
	cert, err := (pki.KeyPair{Cert: config.CertData, Key: config.KeyData}).Check(config.CAData)
	switch {
	case err != nil:
		return nil, broken("%v", err)
	case cert.Subject.CommonName != w.account+":"+w.apiServer:
		return nil, broken("its certificate is not that of the API server %s, to which its path belongs", w.apiServer)
	case pki.Expired(cert, now):
		return nil, broken("its certificate expired on %s", cert.NotAfter.UTC().Format(time.DateOnly))
	}
	findings := []Finding{{
		State: OK, Link: linkWebhookFile,
		Message: fmt.Sprintf("API server %s posts to %s, with a certificate that is valid until %s", w.apiServer, w.url.Host, cert.NotAfter.UTC().Format(time.DateOnly)),
	}}
	if open := mode & 0o077; open != 0 && os.PathSeparator == '/' {
		findings = append(findings, Finding{
			State: Warning, Link: linkWebhookFile, Message: fmt.Sprintf("others than its owner may use it (mode %04o), and it holds a private key", mode.Perm()),
			Next: "chmod 0600 " + path + ", unless kube-apiserver runs as another user, as on Talos",
		})
	}
	return w, findings
}

// call greets the receiver as the API server would, and posts nothing.
func (w *webhookFile) call(ctx context.Context) Finding {
	f := Finding{State: Problem, Link: linkReceiver, Next: "print the file anew with `kubectl trail webhook-config --apiserver " + w.apiServer + "`"}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.config.CAData)
	pair, err := tls.X509KeyPair(w.config.CertData, w.config.KeyData)
	if err != nil {
		f.Message = "certificate and key are not a pair in PEM"
		return f
	}
	client := &http.Client{Timeout: dialTimeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url.String(), http.NoBody)
	if err != nil {
		f.Message = "its address is malformed"
		return f
	}
	resp, err := client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusMethodNotAllowed: // only after it has checked certificate and path
			return Finding{State: OK, Link: linkReceiver, Message: "it answers, and knows the certificate"}
		case http.StatusUnauthorized:
			f.Message = "it refuses the certificate in the file, which was replaced or has expired"
			return f
		case http.StatusForbidden:
			f.Message = "the certificate in the file is that of another API server or cluster than its address"
			return f
		case http.StatusServiceUnavailable:
			return Finding{State: Warning, Link: linkReceiver, Message: "it has no configuration yet", Next: "wait until it is ready: kubectl trail doctor"}
		}
		f.Message = fmt.Sprintf("%s answers HTTP %d, as no receiver does", w.url.Host, resp.StatusCode)
		return f
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		f.Message = "its certificate comes from another CA than the one in the file"
	case errors.As(err, &name):
		f.Message = "its certificate is not good for " + w.url.Hostname()
	case errors.As(err, &op) && op.Op == "remote error":
		f.Message = "it does not accept the certificate in the file"
	default:
		f.State, f.Message = Warning, w.url.Host+" does not answer here"
		f.Next = "on a node of the control plane that is a problem: check that the receiver runs, and that the node routes to its address; elsewhere it may be as it should"
	}
	return f
}
