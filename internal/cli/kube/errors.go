package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Request is what was asked of the API server.
type Request struct {
	Verb     string
	Resource string
	// Namespace is empty for all namespaces, Name for a list.
	Namespace, Name string
}

// Explain turns an error of the API server into a line that says what to do.
// What the server answered is not repeated where we know what it means.
func (r Request) Explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case apierrors.IsUnauthorized(err):
		return errors.New("the API server does not accept your credentials; log in again, or choose others with --context or --kubeconfig")
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not %s %s%s; ask for a Role that allows it, and check with `kubectl auth can-i %s %s%s`",
			r.Verb, r.Resource, r.in(), r.Verb, r.Resource, r.flag())
	case r.Resource == TrailResource && isUnknownResource(err, r):
		return errors.New("this cluster does not know the kind Trail; install Trail Operator, or choose another cluster with --context")
	case r.Resource == OrganizationTrailResource && isUnknownResource(err, r):
		return errors.New("this cluster does not know the kind OrganizationTrail; install or upgrade Trail Operator, or choose another cluster with --context")
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no %s named %q%s; look for it with `kubectl get %s%s`", singular(r.Resource), r.Name, r.in(), r.Resource, r.everywhere())
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return errors.New("the API server did not answer in time; try again, or with a longer --request-timeout")
	}
	if host, reason, ok := unreachable(err); ok {
		return fmt.Errorf("the API server %s cannot be reached: %s; check --kubeconfig and --context", host, oneLine(reason))
	}
	return fmt.Errorf("could not %s %s%s: %s", r.Verb, r.Resource, r.in(), oneLine(err.Error()))
}

func (r Request) in() string {
	switch {
	case r.isClusterScoped():
		return ""
	case r.Namespace == "":
		return " in all namespaces"
	}
	return fmt.Sprintf(" in namespace %q", r.Namespace)
}

func (r Request) flag() string {
	if r.Namespace == "" {
		return r.everywhere()
	}
	return " -n " + r.Namespace
}

// everywhere is kubectl's flag for all namespaces, where there are any.
func (r Request) everywhere() string {
	if r.isClusterScoped() {
		return ""
	}
	return " -A"
}

func (r Request) isClusterScoped() bool { return r.Resource == OrganizationTrailResource }

// isUnknownResource tells a kind that is not installed from a missing object.
func isUnknownResource(err error, r Request) bool {
	return apierrors.IsNotFound(err) &&
		(r.Name == "" || apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse))
}

func singular(resource string) string {
	name, _, _ := strings.Cut(resource, ".")
	return strings.TrimSuffix(name, "s")
}

// unreachable reports the server and the reason of an error of the network.
func unreachable(err error) (host, reason string, ok bool) {
	var u *url.Error
	if !errors.As(err, &u) {
		return "", "", false
	}
	if at, parseErr := url.Parse(u.URL); parseErr == nil {
		host = at.Host
	}
	var op *net.OpError
	if errors.As(u.Err, &op) && op.Err != nil {
		return host, op.Err.Error(), true
	}
	return host, u.Err.Error(), true
}

// oneLine keeps foreign text from filling the terminal or steering it.
func oneLine(s string) string {
	const limit = 300
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
