package mapping

import "strings"

// isCredential reports whether s is, as a whole, a JSON web token or a bootstrap
// token. Both open a session for whoever holds them, wherever they stand.
func isCredential(s string) bool {
	return isBootstrapToken(s) || isJWT(strings.TrimPrefix(s, "Bearer "))
}

// isBootstrapToken reports whether s has the form [a-z0-9]{6}\.[a-z0-9]{16}.
func isBootstrapToken(s string) bool {
	if len(s) != 23 || s[6] != '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && i != 6 {
			return false
		}
	}
	return true
}

// isJWT reports whether s is a signed JSON web token: three parts in base64url,
// of which the first is a JSON object.
func isJWT(s string) bool {
	if !strings.HasPrefix(s, "eyJ") {
		return false
	}
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '=':
		default:
			return false
		}
	}
	return dots == 2
}

// maybeCopy reports whether a string in the metadata of a Secret may be a copy
// of its content, as several tools keep them in annotations.
func maybeCopy(s string) bool {
	if len(s) > longestShown {
		return true
	}
	s = strings.TrimLeft(s, " \t\r\n")
	return strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[")
}

// credentialWords are the parts of names of query options and of user.extra
// whose values are taken for credentials; credentialNames are whole names.
var (
	credentialWords = [...]string{
		"token", "secret", "passw", "credential", "signature", "authorization", "assertion", "bearer", "jwt",
		"apikey", "api_key", "api-key", "accesskey", "access_key", "access-key", "privatekey", "private_key", "private-key",
	}
	credentialNames = [...]string{"auth", "code", "key", "pass", "pwd", "sig"}
)

// isCredentialName reports whether the value under this name is hidden.
func isCredentialName(name string) bool {
	for _, whole := range credentialNames {
		if strings.EqualFold(name, whole) {
			return true
		}
	}
	for i := range len(name) {
		// The letters with which the words begin.
		switch name[i] | 0x20 {
		case 't', 's', 'p', 'c', 'a', 'b', 'j':
			for _, word := range credentialWords {
				if hasPrefixFold(name[i:], word) {
					return true
				}
			}
		}
	}
	return false
}

// hasPrefixFold is strings.HasPrefix without regard to the case of ASCII
// letters; prefix is in lower case.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != prefix[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
