package auditpolicy

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// PathPrefix begins the path to which API servers post: the account and the
// name of the API server follow. They stand in the path because kube-apiserver
// strips the query.
const PathPrefix = "/v1/audit/"

// Webhook describes how one API server reaches the receiver.
type Webhook struct {
	// URL of the receiver: https, host and port.
	URL       string
	Account   string
	APIServer string
	// CA, Cert and Key are PEM: whom to trust and who the API server is.
	CA, Cert, Key []byte
}

var apiServerName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// IsAPIServerName reports whether s may name an API server: 1 to 63 letters,
// digits and . _ -, with a letter or digit at either end.
func IsAPIServerName(s string) bool { return apiServerName.MatchString(s) }

// Kubeconfig returns the file for --audit-webhook-config-file. It holds a
// private key: mode 0600.
func (w Webhook) Kubeconfig() ([]byte, error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("the receiver's address must be https://host:port")
	}
	if !IsAPIServerName(w.APIServer) {
		return nil, errors.New("the name of the API server must be 1 to 63 letters, digits and . _ -, with a letter or digit at either end")
	}
	config := clientcmd.Config{
		APIVersion: "v1", Kind: "Config",
		Clusters: []clientcmd.NamedCluster{{Name: "receiver", Cluster: clientcmd.Cluster{
			Server:                   "https://" + u.Host + PathPrefix + w.Account + "/" + w.APIServer,
			CertificateAuthorityData: w.CA,
		}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: w.APIServer, AuthInfo: clientcmd.AuthInfo{
			ClientCertificateData: w.Cert, ClientKeyData: w.Key,
		}}},
		Contexts:       []clientcmd.NamedContext{{Name: "audit", Context: clientcmd.Context{Cluster: "receiver", AuthInfo: w.APIServer}}},
		CurrentContext: "audit",
	}
	b, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the audit webhook's kubeconfig: %w", err)
	}
	return b, nil
}

// Files are paths as the API server sees them.
type Files struct {
	Policy     string
	Kubeconfig string
	// Log is the audit log that is kept beside the webhook; empty for none.
	Log string
}

// Flag is one flag of kube-apiserver, without the dashes, and why it is set.
type Flag struct {
	Name, Value, Why string
}

// String is the flag as it stands on a command line.
func (f Flag) String() string { return "--" + f.Name + "=" + f.Value }

// Flags returns the flags that go with the kubeconfig.
func Flags(f Files) []Flag {
	flags := []Flag{
		{"audit-policy-file", f.Policy, "what is recorded"},
		{"audit-webhook-config-file", f.Kubeconfig, "where it is sent"},
		{"audit-webhook-mode", "batch", "API calls never wait for the receiver"},
		{"audit-webhook-batch-max-wait", "1s", "an event is under way within a second instead of 30"},
		{"audit-webhook-batch-max-size", "400", "events of one post; the default, which fills about a megabyte"},
		{"audit-webhook-batch-buffer-size", "40000", "events that wait while posts are held back, about 80 MB; the default of 10000 overflows in short bursts"},
		{"audit-webhook-batch-throttle-qps", "50", "posts a second; the default of 10 drops above 4000 events a second"},
		{"audit-webhook-batch-throttle-burst", "100", "posts at once after a pause"},
		{"audit-webhook-initial-backoff", "10s", "five tries over 80 seconds and more: a receiver may be away for a minute"},
		{"audit-webhook-truncate-enabled", "true", "bounds the size of a post"},
		{"audit-webhook-truncate-max-event-size", "262144", "room for a request and a response that a record can hold (100 KB each); above it bodies are left out, and the record says so"},
		{"audit-webhook-truncate-max-batch-size", "10485760", "must be larger than an event"},
	}
	if f.Log == "" {
		return flags
	}
	return append(flags,
		Flag{"audit-log-path", f.Log, "a copy on the node: what the webhook could not deliver is still there"},
		Flag{"audit-log-maxsize", "100", "megabytes of one file"},
		Flag{"audit-log-maxbackup", "10", "files that are kept: a gigabyte"},
		Flag{"audit-log-maxage", "7", "days that files are kept"},
	)
}
