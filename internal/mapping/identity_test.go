package mapping

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	arnUser  = "arn:k8s:iam:eu-central-1:123456789012:user/"
	arnRobot = "arn:k8s:core:eu-central-1:123456789012:team/serviceaccounts/robot"
	robot    = "system:serviceaccount:team:robot"
)

func TestUserIdentity(t *testing.T) {
	const account = "123456789012"
	type user = map[string]any
	session := func(principal, source string) *record.SessionContext {
		return &record.SessionContext{
			SessionIssuer:  &record.SessionIssuer{Type: "Role", PrincipalID: principal, ARN: arnRobot, AccountID: account, UserName: robot},
			SourceIdentity: source,
		}
	}
	masters := []string{"system:masters", "system:authenticated"}
	for _, c := range []struct {
		name               string
		user, impersonated user
		want               record.UserIdentity
	}{
		{
			"api server",
			user{"username": "system:apiserver", "uid": "u", "groups": masters},
			nil,
			record.UserIdentity{Type: "AWSService", PrincipalID: "u", ARN: arnUser + "system:apiserver", InvokedBy: "system:apiserver"},
		},
		{
			"scheduler",
			user{"username": "system:kube-scheduler"},
			nil,
			record.UserIdentity{Type: "AWSService", PrincipalID: "system:kube-scheduler", ARN: arnUser + "system:kube-scheduler", InvokedBy: "system:kube-scheduler"},
		},
		{
			"node",
			user{"username": "system:node:n1", "groups": []string{"system:nodes"}},
			nil,
			record.UserIdentity{Type: "AWSService", PrincipalID: "system:node:n1", ARN: arnUser + "system:node:n1", InvokedBy: "system:node:n1"},
		},
		{
			"kubelet client",
			user{"username": "kube-apiserver-kubelet-client", "groups": masters},
			nil,
			record.UserIdentity{Type: "AWSService", PrincipalID: "kube-apiserver-kubelet-client", ARN: arnUser + "kube-apiserver-kubelet-client", InvokedBy: "kube-apiserver-kubelet-client"},
		},
		{
			"administrator",
			user{"username": "kubernetes-admin", "groups": masters, "extra": user{extraCredentialID: []string{"X509SHA256=ab"}}},
			nil,
			record.UserIdentity{Type: "Root", PrincipalID: "kubernetes-admin", ARN: arnUser + "kubernetes-admin", AccessKeyID: "X509SHA256=ab", UserName: "kubernetes-admin"},
		},
		{
			"service account that is a master",
			user{"username": robot, "groups": masters},
			nil,
			record.UserIdentity{Type: "Root", PrincipalID: robot, ARN: arnUser + robot, UserName: robot},
		},
		{
			"service account",
			user{"username": robot, "uid": "u"},
			nil,
			record.UserIdentity{Type: "AssumedRole", PrincipalID: "u", ARN: arnRobot, SessionContext: session("u", "")},
		},
		{
			"service account in a pod",
			user{"username": robot, "uid": "u", "extra": user{extraPodName: []string{"p"}, extraCredentialID: []string{"JTI=1"}}},
			nil,
			record.UserIdentity{Type: "AssumedRole", PrincipalID: "u:p", ARN: arnRobot, AccessKeyID: "JTI=1", SessionContext: session("u", "")},
		},
		{
			"service account without uid",
			user{"username": robot},
			nil,
			record.UserIdentity{Type: "AssumedRole", PrincipalID: robot, ARN: arnRobot, SessionContext: session(robot, "")},
		},
		{
			"not a service account",
			user{"username": "system:serviceaccount:team"},
			nil,
			record.UserIdentity{Type: "IAMUser", PrincipalID: "system:serviceaccount:team", ARN: arnUser + "system:serviceaccount:team", UserName: "system:serviceaccount:team"},
		},
		{
			"user",
			user{"username": "https://idp/#jane", "uid": "7"},
			nil,
			record.UserIdentity{Type: "IAMUser", PrincipalID: "7", ARN: arnUser + "https://idp/#jane", UserName: "https://idp/#jane"},
		},
		{
			"almost a node",
			user{"username": "system:nodes"},
			nil,
			record.UserIdentity{Type: "IAMUser", PrincipalID: "system:nodes", ARN: arnUser + "system:nodes", UserName: "system:nodes"},
		},
		{
			"anonymous",
			user{"username": "system:anonymous", "groups": []string{"system:unauthenticated"}},
			nil,
			record.UserIdentity{Type: "Unknown", PrincipalID: "system:anonymous", ARN: arnUser + "system:anonymous", UserName: "system:anonymous"},
		},
		{"nobody", user{}, nil, record.UserIdentity{Type: "Unknown"}},
		{
			"impersonated user",
			user{"username": "kubernetes-admin", "uid": "r", "groups": masters, "extra": user{extraCredentialID: []string{"real"}}},
			user{"username": "jane", "extra": user{extraCredentialID: []string{"forged"}}},
			record.UserIdentity{
				Type: "IAMUser", PrincipalID: "jane", ARN: arnUser + "jane", AccessKeyID: "real", UserName: "jane",
				SessionContext: &record.SessionContext{SourceIdentity: "kubernetes-admin"},
			},
		},
		{
			"impersonated service account",
			user{"username": "jane"},
			user{"username": robot},
			record.UserIdentity{Type: "AssumedRole", PrincipalID: robot, ARN: arnRobot, SessionContext: session(robot, "jane")},
		},
		{
			"impersonated master",
			user{"username": "jane"},
			user{"username": "boss", "groups": masters},
			record.UserIdentity{Type: "Root", PrincipalID: "boss", ARN: arnUser + "boss", UserName: "boss", SessionContext: &record.SessionContext{SourceIdentity: "jane"}},
		},
		{
			"impersonated anonymous",
			user{"username": "jane"},
			user{"username": "system:anonymous"},
			record.UserIdentity{
				Type: "Unknown", PrincipalID: "system:anonymous", ARN: arnUser + "system:anonymous", UserName: "system:anonymous",
				SessionContext: &record.SessionContext{SourceIdentity: "jane"},
			},
		},
		{
			"odd extra",
			user{"username": "jane", "extra": user{extraCredentialID: "text", extraPodName: []any{}}},
			nil,
			record.UserIdentity{Type: "IAMUser", PrincipalID: "jane", ARN: arnUser + "jane", UserName: "jane"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts := map[string]any{"user": c.user}
			if c.impersonated != nil {
				parts["impersonatedUser"] = c.impersonated
			}
			b, f := mapped(t, event(t, parts))
			var got record.Record
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			c.want.AccountID = account
			if diff := cmp.Diff(c.want, got.UserIdentity); diff != "" {
				t.Errorf("userIdentity (-want +got):\n%s", diff)
			}
			if f.UserARN != c.want.ARN {
				t.Errorf("facts have %q", f.UserARN)
			}
		})
	}
}
