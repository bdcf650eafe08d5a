package managerconfig

import (
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

// Defaults of a ForwardTo.
const (
	defaultForwardTimeout = 30      // seconds
	defaultForwardQueue   = 1 << 30 // bytes
)

// Intake says where audit events come from besides the webhook of API servers,
// and what becomes of them besides being recorded.
type Intake struct {
	// ForwardTo is a second receiver of what API servers send.
	ForwardTo ForwardTo `json:"forwardTo,omitempty"`
	// Tail lets tails of audit logs post.
	Tail Tail `json:"tail,omitempty"`
}

// ForwardTo is a webhook receiver such as Falco, for clusters whose API servers
// have sent their audit events there: each has room for one webhook. It gets the
// body of every POST as it was received, once the events are durable, and with
// all that is removed from records: the data of Secrets too, if the audit policy
// sends them with bodies.
type ForwardTo struct {
	// URL to which bodies are posted: http or https, with host, port and path; empty
	// means that there is no second receiver.
	URL string `json:"url,omitempty"`
	// CA, PEM, issued the certificate of an https URL; empty means a public CA.
	CA string `json:"ca,omitempty"`
	// CredentialsSecret is a Secret of the installation's namespace, for https. It
	// holds token, which is sent as bearer token, or tls.crt and tls.key, or all three.
	CredentialsSecret string `json:"credentialsSecret,omitempty"`
	// TimeoutSeconds is how long one try may take, 1 to 300; 0 means 30. A body over
	// a megabyte gets another second for each.
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// QueueBytes of the receiver's volume are what bodies may take that wait; beyond
	// them the oldest are dropped, and counted. At least 16777216 (16 MiB); 0 means
	// 1073741824 (1 GiB).
	QueueBytes int64 `json:"queueBytes,omitempty"`
}

// ForwardToken is the key of the bearer token in the Secret of a ForwardTo,
// beside those of kubernetes.io/tls.
const ForwardToken = "token"

func (f *ForwardTo) validate(r *Receiver, bad func(field, message string)) {
	if *f == (ForwardTo{TimeoutSeconds: f.TimeoutSeconds, QueueBytes: f.QueueBytes}) {
		return
	}
	u, err := receiverconfig.ForwardURL(f.URL)
	if err != nil {
		bad("intake.forwardTo.url", err.Error())
		return
	}
	if u.Scheme != "https" && (f.CA != "" || f.CredentialsSecret != "") {
		bad("intake.forwardTo", "ca and credentialsSecret need an https url")
	}
	if to := net.JoinHostPort(u.Hostname(), strconv.Itoa(int(portOf(u)))); to == r.Address || to == r.APIServerAddress {
		bad("intake.forwardTo.url", "must not be this receiver itself")
	}
	if f.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(f.CA)) {
		bad("intake.forwardTo.ca", "must be certificates in PEM")
	}
	if s := f.CredentialsSecret; s != "" && len(validation.IsDNS1123Subdomain(s)) > 0 {
		bad("intake.forwardTo.credentialsSecret", "must be the name of a Secret")
	}
	if f.TimeoutSeconds < 0 || f.TimeoutSeconds > receiverconfig.MaxForwardTimeoutSeconds {
		bad("intake.forwardTo.timeoutSeconds", "must be 1 to 300, or left out for 30")
	}
	if f.QueueBytes != 0 && f.QueueBytes < receiverconfig.MinForwardQueueBytes {
		bad("intake.forwardTo.queueBytes", "must be at least 16777216 (16 MiB), or left out for 1 GiB")
	}
	if w := r.Workload; w != nil && w.Storage.Size != nil && f.QueueBytes > w.Storage.Size.Value()/2 {
		bad("intake.forwardTo.queueBytes", "must be at most half of receiver.workload.storage.size")
	}
}

// complete fills in what may be left out, and lets the receiver reach the port.
func (f *ForwardTo) complete(r *Receiver) {
	if f.TimeoutSeconds == 0 {
		f.TimeoutSeconds = defaultForwardTimeout
	}
	if f.QueueBytes == 0 {
		f.QueueBytes = defaultForwardQueue
	}
	u, err := url.Parse(f.URL)
	if r.Workload == nil || err != nil || f.URL == "" {
		return
	}
	if ports := &r.Workload.NetworkPolicy.EgressPorts; !slices.Contains(*ports, portOf(u)) {
		*ports = append(slices.Clone(*ports), portOf(u))
	}
}

// portOf is the port of a URL, 0 when it is none.
func portOf(u *url.URL) int32 {
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return 0
		}
		return int32(n)
	case strings.EqualFold(u.Scheme, "http"):
		return 80
	}
	return 443
}
