package installation

import (
	"fmt"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/pki"
)

// WarnBefore is how long before its end a certificate that people must replace
// is warned of.
const WarnBefore = 90 * 24 * time.Hour

// Certificates are those of an installation. They do not change: others take
// their place.
type Certificates struct {
	// Roots, PEM, are the CAs that may have issued the receiver's certificate;
	// Manager is good for its status API.
	Roots   []byte
	Manager pki.KeyPair
	// Ends are those of all certificates in use, the intake CA first.
	Ends []End
	// Rotation says in a sentence what a rotation waits for; empty when none is
	// under way.
	Rotation string

	server  pki.KeyPair
	clients []byte   // PEM: CAs of the clients' certificates
	refused []string // fingerprints
}

// End is the end of a certificate.
type End struct {
	Secret string
	Time   time.Time
	// APIServer is whose certificate it is, for those of API servers.
	APIServer string
	// Replaced: another one was issued, and is not in use yet.
	Replaced bool
}

// first is the end that comes first of those that are wanted, nil for none.
func (c *Certificates) first(wanted func(End) bool) *End {
	var first *End
	for i := range c.Ends {
		if e := &c.Ends[i]; wanted(*e) && (first == nil || e.Time.Before(first.Time)) {
			first = e
		}
	}
	return first
}

// Expired returns a sentence that says what to do when a certificate of the
// installation has ended at now, else the empty string.
func (c *Certificates) Expired(now time.Time) string {
	e := c.first(func(End) bool { return true })
	switch {
	case e == nil || !now.After(e.Time):
		return ""
	case e.manual():
		return e.name() + " has expired. " + e.advice(c.Rotation)
	}
	return fmt.Sprintf("The certificate in the Secret %s has expired, and the manager has not renewed it: its log says why.", e.Secret)
}

// Expiring returns a sentence that says what to do when the CA or the
// certificate of an API server ends within WarnBefore of now, and has not.
func (c *Certificates) Expiring(now time.Time) string {
	e := c.first(End.manual)
	if e == nil || now.After(e.Time) || e.Time.Sub(now) > WarnBefore {
		return ""
	}
	return fmt.Sprintf("%s ends on %s. %s", e.name(), e.Time.UTC().Format(time.DateOnly), e.advice(c.Rotation))
}

// manual: people have to do something about its end.
func (e End) manual() bool { return e.APIServer != "" || e.Secret == manifests.IntakeCAName }

func (e End) name() string {
	if e.APIServer != "" {
		return "The client certificate that the API server " + e.APIServer + " uses"
	}
	return "The intake CA"
}

func (e End) advice(rotation string) string {
	switch {
	case e.Replaced:
		return fmt.Sprintf("Another one is there: put what `kubectl trail webhook-config --apiserver %s` prints in place and restart that API server.", e.APIServer)
	case e.APIServer != "":
		return fmt.Sprintf("Run `kubectl trail webhook-config --rotate --apiserver %s`, put what it prints in place and restart that API server.", e.APIServer)
	case rotation != "":
		return "Its rotation is under way. " + rotation
	}
	return "Run `kubectl trail webhook-config --rotate-ca`, which says what to do next."
}

// waitingFor says which API servers the rotation of the CA waits for: to be
// restarted with their new file, and to get one.
func waitingFor(restart, file []string) string {
	var sentences []string
	if len(restart) > 0 {
		sentences = append(sentences, "It waits for each of these API servers to be restarted with the file that "+
			"`kubectl trail webhook-config --apiserver NAME` prints: "+atMost(restart)+".")
	}
	if len(file) > 0 {
		sentences = append(sentences, "It waits for a new file for each of these API servers, which the manager makes: "+atMost(file)+".")
	}
	return strings.Join(sentences, " ")
}

// atMost lists the first names.
func atMost(names []string) string {
	const most = 10
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ") + more
}
