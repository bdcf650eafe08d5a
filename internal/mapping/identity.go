package mapping

import (
	"strings"
	"unsafe"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

// Values of userIdentity.type.
const (
	awsService  = "AWSService"
	root        = "Root"
	assumedRole = "AssumedRole"
	iamUser     = "IAMUser"
	unknown     = "Unknown"
)

const serviceAccountPrefix = "system:serviceaccount:"

// identity is who made a call: the effective user, and behind an impersonation
// the real one. Its strings are valid UTF-8 of bounded length.
type identity struct {
	kind      string // value of userIdentity.type
	name      string
	principal string
	session   string // the pod of a service account
	// namespace and account are the two parts of a service account's name.
	namespace, account string
	credential         string
	real               string // the impersonator
	// repeated are the members of the effective user's extra that say no more
	// than credential and session do.
	repeated [2]extraMember
}

// identify applies the rules of userIdentity, in their order.
func identify(e *auditevent.Event) identity {
	user := &e.User
	credential, pod := extraMembers(&user.Extra)
	who := identity{credential: credential.value}
	if e.Impersonated {
		who.real = cut(user.Username, maxText)
		user = &e.ImpersonatedUser
		credential = extraMember{}
		_, pod = extraMembers(&user.Extra)
	}
	who.name = cut(user.Username, maxText)
	who.principal = cut(user.UID, maxText)
	if who.principal == "" {
		who.principal = who.name
	}
	switch {
	case isControlPlane(who.name):
		who.kind = awsService
	case isMaster(user.Groups):
		who.kind = root
	case who.serviceAccount():
		who.kind = assumedRole
		who.session = pod.value
	case who.name == "" || who.name == "system:anonymous":
		who.kind = unknown
	default:
		who.kind = iamUser
	}
	who.repeated[0] = credential
	if who.kind == assumedRole {
		who.repeated[1] = pod
	}
	return who
}

// impliesGroups reports whether the record need not show the groups: a service
// account has the three that every service account has, all others have none.
func (who *identity) impliesGroups(groups []string) bool {
	if who.kind != assumedRole {
		return len(groups) == 0
	}
	if len(groups) != 3 || groups[0] != "system:serviceaccounts" || groups[2] != "system:authenticated" {
		return false
	}
	namespace, ok := strings.CutPrefix(groups[1], "system:serviceaccounts:")
	return ok && namespace == who.namespace
}

// isControlPlane reports whether Kubernetes' own components go by this name.
func isControlPlane(name string) bool {
	return name == "system:apiserver" || name == "kube-apiserver-kubelet-client" ||
		strings.HasPrefix(name, "system:kube-") || strings.HasPrefix(name, "system:node:")
}

func isMaster(groups []string) bool {
	for _, g := range groups {
		if g == "system:masters" {
			return true
		}
	}
	return false
}

// serviceAccount splits the name of a service account.
func (who *identity) serviceAccount() bool {
	rest, ok := strings.CutPrefix(who.name, serviceAccountPrefix)
	if !ok {
		return false
	}
	namespace, account, ok := strings.Cut(rest, ":")
	if !ok || namespace == "" || account == "" {
		return false
	}
	who.namespace, who.account = namespace, account
	return true
}

// appendUserARN appends the ARN of who; an unknown caller without a name has none.
func (m *Mapper) appendUserARN(dst []byte, who *identity) []byte {
	switch {
	case who.kind == assumedRole:
		dst = m.appendARN(dst, "core")
		dst = append(dst, who.namespace...)
		dst = append(dst, "/serviceaccounts/"...)
		return append(dst, who.account...)
	case who.name == "":
		return dst
	}
	dst = m.appendARN(dst, "iam")
	dst = append(dst, "user/"...)
	return append(dst, who.name...)
}

// appendARN appends the beginning of an ARN, up to and with the last colon.
func (m *Mapper) appendARN(dst []byte, service string) []byte {
	dst = append(dst, "arn:k8s:"...)
	dst = append(dst, service...)
	dst = append(dst, ':')
	dst = append(dst, m.installation.Region...)
	dst = append(dst, ':')
	dst = append(dst, m.installation.Account...)
	return append(dst, ':')
}

// appendIdentity appends userIdentity; m.userARN is that of who.
func (m *Mapper) appendIdentity(dst []byte, who *identity) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, who.kind...)
	dst = append(dst, '"')
	if who.session == "" {
		dst = appendField(dst, `"principalId":`, who.principal)
	} else {
		m.nested = append(append(append(m.nested[:0], who.principal...), ':'), who.session...)
		dst = appendField(dst, `"principalId":`, alias(m.nested))
	}
	dst = appendField(dst, `"arn":`, alias(m.userARN))
	dst = append(dst, `,"accountId":`...)
	dst = append(dst, m.account...)
	dst = appendField(dst, `"accessKeyId":`, who.credential)
	switch who.kind {
	case root, iamUser, unknown:
		dst = appendField(dst, `"userName":`, who.name)
	}
	if who.kind == assumedRole || who.real != "" {
		dst = m.appendSession(dst, who)
	}
	if who.kind == awsService {
		dst = appendField(dst, `"invokedBy":`, who.name)
	}
	return append(dst, '}')
}

func (m *Mapper) appendSession(dst []byte, who *identity) []byte {
	dst = append(dst, `,"sessionContext":{`...)
	if who.kind == assumedRole {
		dst = append(dst, `"sessionIssuer":{"type":"Role","principalId":`...)
		dst = appendString(dst, who.principal)
		dst = append(dst, `,"arn":`...)
		dst = appendString(dst, alias(m.userARN))
		dst = append(dst, `,"accountId":`...)
		dst = append(dst, m.account...)
		dst = append(dst, `,"userName":`...)
		dst = appendString(dst, who.name)
		dst = append(dst, '}')
		if who.real != "" {
			dst = append(dst, ',')
		}
	}
	if who.real != "" {
		dst = append(dst, `"sourceIdentity":`...)
		dst = appendString(dst, who.real)
	}
	return append(dst, '}')
}

// alias returns b as a string that changes with b.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
