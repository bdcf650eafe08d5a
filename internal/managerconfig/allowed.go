package managerconfig

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// allowed is one entry of AllowedAddresses.
type allowed struct {
	prefix netip.Prefix // of an address or a range
	host   string       // of a host name
	port   string       // empty: any
}

var errAllowed = errors.New("must be an IP address, a range such as 127.0.0.0/8 or a host name, with an optional port")

func parseAllowed(s string) (allowed, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return allowed{prefix: p.Masked()}, nil
	}
	host, port := s, ""
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	}
	if port != "" && !isPort(port) {
		return allowed{}, errAllowed
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		return allowed{prefix: netip.PrefixFrom(a, a.BitLen()), port: port}, nil
	}
	host = strings.ToLower(host)
	if len(validation.IsDNS1123Subdomain(host)) > 0 {
		return allowed{}, errAllowed
	}
	return allowed{host: host, port: port}, nil
}

// Allows reports whether trails may use endpoint although its address is
// loopback or link-local. Names are compared, never resolved: who controls a
// name's records must not be able to widen what the installer has allowed.
func (c *Config) Allows(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	addr, addrErr := netip.ParseAddr(host)
	for _, s := range c.AllowedAddresses {
		a, err := parseAllowed(s)
		if err != nil || (a.port != "" && a.port != port) {
			continue
		}
		if a.host != "" && a.host == host || a.host == "" && addrErr == nil && a.prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
