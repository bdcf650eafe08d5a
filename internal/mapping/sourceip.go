package mapping

import "net/netip"

// sourceIP returns the address of the client: the last one that the API server
// and the trusted proxies vouch for. What stands left of it is a claim.
func (m *Mapper) sourceIP(ips []string) string {
	if len(ips) == 0 {
		return "unknown"
	}
	i := len(ips) - 1
	for i > 0 && m.isProxy(ips[i]) {
		i--
	}
	return cut(ips[i], maxText)
}

func (m *Mapper) isProxy(s string) bool {
	if len(m.proxies) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	for _, p := range m.proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
