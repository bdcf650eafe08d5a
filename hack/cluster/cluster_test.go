//go:build linux

package cluster

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"
)

func TestFiles(t *testing.T) {
	c := &Cluster{Dir: t.TempDir(), programs: map[string]string{"cni": "/usr/lib/cni"}, node: &node{cgroup: "trail-cluster-7"}}
	if err := c.writeFiles(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubelet.yaml", "kube-proxy.yaml", "cni/10-bridge.conflist", "containerd.toml", "resolv.conf"} {
		b, err := os.ReadFile(c.path("conf", name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "{{") || strings.Contains(string(b), "<no value>") {
			t.Errorf("%s is not rendered:\n%s", name, b)
		}
		if ext := filepath.Ext(name); ext != ".yaml" && ext != ".conflist" { // JSON is YAML
			continue
		}
		var content map[string]any
		if err := yaml.UnmarshalStrict(b, &content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "kubelet.yaml" && content["cgroupRoot"] != "/trail-cluster-7" {
			t.Errorf("cgroupRoot = %v", content["cgroupRoot"])
		}
	}
}

func TestDNS(t *testing.T) {
	index := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for name, ip := range map[string]string{"web": "10.96.1.2", "headless": corev1.ClusterIPNone} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip}}
		if err := index.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	services := listers.NewServiceLister(index)
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		code dnsmessage.RCode
		want string
	}{
		{"web.shop.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, "10.96.1.2"},
		{"WEB.shop.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, "10.96.1.2"},
		{"web.shop.svc.cluster.local.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, ""},
		{"headless.shop.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, ""},
		{"other.shop.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeNameError, ""},
		{"web.shop.svc.shop.svc.cluster.local.", dnsmessage.TypeA, dnsmessage.RCodeNameError, ""},
		{"example.com.", dnsmessage.TypeA, dnsmessage.RCodeNameError, ""},
	} {
		query := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: 42, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(c.name), Type: c.kind, Class: dnsmessage.ClassINET}},
		}
		packed, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := answerQuery(services, packed)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var answer dnsmessage.Message
		if err := answer.Unpack(raw); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range answer.Answers {
			got += netip.AddrFrom4(r.Body.(*dnsmessage.AResource).A).String()
		}
		if answer.ID != 42 || !answer.Response || answer.RCode != c.code || got != c.want {
			t.Errorf("%s %s: id %d, %s, %q; want %s, %q", c.name, c.kind, answer.ID, answer.RCode, got, c.code, c.want)
		}
	}
	if _, err := answerQuery(services, []byte("no query")); err == nil {
		t.Error("what is no query was answered")
	}
}

func TestFolderThatTheNodeHides(t *testing.T) {
	_, err := prepare(t.Context(), Options{Dir: "/var/lib/somewhere"})
	if err == nil || !strings.Contains(err.Error(), "/var/lib") {
		t.Errorf("err = %v, want that the folder cannot be there", err)
	}
}

// TestCheck: whoever runs the tests, and wherever, is told in one line.
func TestCheck(t *testing.T) {
	err := Check()
	switch {
	case err != nil && strings.Contains(err.Error(), "\n"):
		t.Errorf("it takes more than a line:\n%v", err)
	case os.Geteuid() != 0 && err == nil:
		t.Error("a cluster was thought possible without root")
	}
	all, err := hierarchies()
	if err != nil {
		t.Skip(err)
	}
	for _, h := range all {
		if dir := h + "/" + cgroupPrefix + strconv.Itoa(os.Getpid()); isDir(dir) {
			t.Errorf("%s is left", dir)
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
