package auditevent

import (
	"net/url"
	"strings"

	"github.com/trail-operator/trail-operator/internal/record"
)

// redactURI removes the values of query parameters that carry credentials.
// Kubernetes has none, but what is proxied to nodes, pods and services, and
// older clients of the watch API, do.
func redactURI(uri string) (string, bool) {
	at := strings.IndexByte(uri, '?')
	if at < 0 {
		return uri, false
	}
	var out []byte
	done := 0
	for i := at + 1; i < len(uri); {
		end := i
		equals := -1
		for ; end < len(uri) && uri[end] != '&' && uri[end] != ';'; end++ {
			if uri[end] == '=' && equals < 0 {
				equals = end
			}
		}
		if equals >= 0 && equals+1 < end && carriesCredential(uri[i:equals]) {
			out = append(out, uri[done:equals+1]...)
			out = append(out, record.Redacted...)
			done = end
		}
		i = end + 1
	}
	if out == nil {
		return uri, false
	}
	return string(append(out, uri[done:]...)), true
}

// carriesCredential judges the name of a query parameter.
func carriesCredential(name string) bool {
	switch name {
	case "allowWatchBookmarks", "command", "container", "continue", "dryRun", "fieldManager", "fieldSelector",
		"fieldValidation", "follow", "force", "labelSelector", "limit", "pretty", "resourceVersion",
		"resourceVersionMatch", "sendInitialEvents", "stderr", "stdin", "stdout", "timeout", "timeoutSeconds",
		"tty", "watch":
		return false
	}
	if strings.ContainsAny(name, "%+") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	name = strings.ToLower(name)
	switch name {
	case "auth", "code", "jwt", "key", "pass", "pwd", "sig":
		return true
	}
	for _, word := range [...]string{
		"token", "secret", "passw", "credential", "signature", "authorization",
		"apikey", "api_key", "api-key", "accesskey", "access_key", "access-key",
	} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
