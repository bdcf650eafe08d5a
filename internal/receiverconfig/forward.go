package receiverconfig

import (
	"errors"
	"net/url"
)

// ForwardTo is a webhook receiver beside this one, such as Falco. It gets the
// body of every audit POST as it was received, nothing removed.
type ForwardTo struct {
	// URL to which bodies are posted: http or https.
	URL string `json:"url"`
	// CA, PEM, issued the certificate of an https URL; empty means the system's.
	CA []byte `json:"ca,omitempty"`
	// Token is sent as bearer token; ClientCert and ClientKey, PEM, are shown. Each
	// may be empty, and all are for https only.
	Token      string `json:"token,omitempty"`
	ClientCert []byte `json:"clientCert,omitempty"`
	ClientKey  []byte `json:"clientKey,omitempty"`
	// TimeoutSeconds is how long one try may take; a large body gets longer.
	TimeoutSeconds int32 `json:"timeoutSeconds"`
	// QueueBytes of the receiver's volume are what waiting bodies may take.
	QueueBytes int64 `json:"queueBytes"`
}

// Bounds of a ForwardTo.
const (
	MaxForwardTimeoutSeconds = 300
	MinForwardQueueBytes     = 16 << 20
)

// ForwardURL parses an address to which bodies can be forwarded. Credentials do
// not stand in it.
func ForwardURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Port() == "0" || u.User != nil || u.Fragment != "" || len(s) > 2000 {
		return nil, errors.New("must be http://host:port/path or https://host:port/path")
	}
	return u, nil
}

func (f *ForwardTo) validate() error {
	u, err := ForwardURL(f.URL)
	switch {
	case err != nil:
		return errors.New("the address of the second receiver is malformed")
	case u.Scheme != "https" && (f.Token != "" || len(f.CA)+len(f.ClientCert)+len(f.ClientKey) > 0):
		return errors.New("the second receiver has a CA or credentials without https")
	case f.TimeoutSeconds < 1 || f.TimeoutSeconds > MaxForwardTimeoutSeconds:
		return errors.New("the timeout of the second receiver is not within 1 and 300 seconds")
	case f.QueueBytes < MinForwardQueueBytes:
		return errors.New("the queue of the second receiver has less than 16 MiB")
	}
	return nil
}
