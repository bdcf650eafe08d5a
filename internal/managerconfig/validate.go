package managerconfig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
)

const (
	maxList       = 1000
	maxAPIServers = 100
	maxTrails     = 100
)

func (c *Config) validate() error {
	var errs []error
	bad := func(field, message string) { errs = append(errs, fmt.Errorf("%s: %s", field, message)) }
	if c.APIVersion != APIVersion || c.Kind != Kind {
		bad("apiVersion, kind", "must be "+APIVersion+" and "+Kind)
	}
	if c.Account != "" && !receiverconfig.IsAccount(c.Account) {
		bad("account", `must be 12 digits in quotes, such as "000000000042", or left out`)
	}
	if !receiverconfig.IsRegion(c.Region) {
		bad("region", "must be lower-case letters, digits and single hyphens, such as eu-central-1")
	}
	if c.Organization != "" && !receiverconfig.IsOrganization(c.Organization) {
		bad("organization", "must be o- followed by 10 to 32 lower-case letters and digits, or left out")
	}
	if len(validation.IsDNS1123Label(c.Namespace)) > 0 {
		bad("namespace", "must be the name of the namespace that holds the installation")
	}
	if c.TrailsPerNamespace < 1 || c.TrailsPerNamespace > maxTrails {
		bad("trailsPerNamespace", "must be 1 to 100, or left out for 5")
	}
	if len(c.AllowedAddresses) > maxList || len(c.TrustedProxies) > maxList || len(c.Receiver.Names) > maxList {
		bad("allowedAddresses, trustedProxies, receiver.names", "must have at most 1000 entries each")
		return errors.Join(errs...)
	}
	c.Receiver.validate(bad)
	c.Intake.ForwardTo.validate(&c.Receiver, bad)
	c.Validation.validate(bad)
	c.validateTenants(bad)
	for i, a := range c.AllowedAddresses {
		if _, err := parseAllowed(a); err != nil {
			bad(fmt.Sprintf("allowedAddresses[%d]", i), err.Error())
		}
	}
	for i, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			bad(fmt.Sprintf("trustedProxies[%d]", i), "must be an address range such as 10.0.0.0/8")
		}
	}
	return errors.Join(errs...)
}

func (r *Receiver) validate(bad func(field, message string)) {
	if r.Workload != nil {
		r.Workload.validate(bad)
	}
	if !isHostPort(r.Address) && (r.Address != "" || r.Workload == nil) {
		bad("receiver.address", "must be host:port of the receiver, as the manager reaches it; only with receiver.workload it may be left out")
	}
	if r.APIServerAddress != "" && !isHostPort(r.APIServerAddress) {
		bad("receiver.apiServerAddress", "must be host:port of the receiver, as API servers reach it, or left out")
	}
	if len(r.APIServers) == 0 || len(r.APIServers) > maxAPIServers {
		bad("receiver.apiServers", "must name 1 to 100 API servers")
		return
	}
	seen := map[string]bool{}
	for i, s := range r.APIServers {
		// The name becomes part of the name of a Secret.
		if !auditpolicy.IsAPIServerName(s) || len(validation.IsDNS1123Subdomain(s)) > 0 {
			bad(fmt.Sprintf("receiver.apiServers[%d]", i), "must be 1 to 63 lower-case letters, digits, hyphens and dots")
		}
		if seen[s] {
			bad(fmt.Sprintf("receiver.apiServers[%d]", i), "stands there twice")
		}
		seen[s] = true
	}
	for i, n := range r.Names {
		if !isHost(n) {
			bad(fmt.Sprintf("receiver.names[%d]", i), "must be a host name or an IP address")
		}
	}
}

func isHost(s string) bool {
	return net.ParseIP(s) != nil || len(validation.IsDNS1123Subdomain(s)) == 0
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && isHost(host) && isPort(port)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// ServerNames are the names that the receiver's certificate must be good for.
func (r Receiver) ServerNames() []string {
	var names []string
	seen := map[string]bool{}
	add := func(n string) {
		if n != "" && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, a := range []string{r.Address, r.APIServerAddress} {
		if host, _, err := net.SplitHostPort(a); err == nil {
			add(host)
		}
	}
	for _, n := range r.Names {
		add(n)
	}
	return names
}
