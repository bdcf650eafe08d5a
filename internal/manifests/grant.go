package manifests

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Subject is the subject of a role binding for a user name as the API server
// knows it, which may be that of a service account.
func Subject(username string) rbacv1.Subject {
	if rest, ok := strings.CutPrefix(username, "system:serviceaccount:"); ok {
		if namespace, name, ok := strings.Cut(rest, ":"); ok {
			return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
		}
	}
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: username}
}

// Grant builds the Role and its binding that let the manager read one Secret
// of a tenant's namespace, and nothing else.
func Grant(namespace, secret string, manager rbacv1.Subject) (*rbacv1.Role, *rbacv1.RoleBinding) {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "trail-operator-read-" + secret}
	if len(meta.Name) > 253 {
		meta.Name = meta.Name[:253]
	}
	role := &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: meta,
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secret}, Verbs: []string{"get"}}},
	}
	binding := &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{manager},
	}
	return role, binding
}

// GrantYAML is Grant as a file for kubectl apply.
func GrantYAML(namespace, secret string, manager rbacv1.Subject) string {
	role, binding := Grant(namespace, secret, manager)
	var b strings.Builder
	for i, o := range []any{role, binding} {
		if i > 0 {
			b.WriteString("---\n")
		}
		y, err := yaml.Marshal(o)
		if err != nil {
			panic("manifests: " + err.Error()) // a Role of strings always encodes
		}
		b.Write(y)
	}
	return b.String()
}
