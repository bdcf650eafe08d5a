package objectstore

import (
	"net"
	"net/url"
	"strings"
)

// Origin is one spelling for all of an endpoint: its scheme, its host in lower
// case and its port, also where that is the scheme's own. Empty is AWS, and stays
// empty. What is no URL stays as it is.
func Origin(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return endpoint
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
