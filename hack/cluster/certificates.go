//go:build linux

package cluster

import (
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/trail-operator/trail-operator/internal/pki"
)

const apiServerURL = "https://127.0.0.1:" + apiServerPort

func (c *Cluster) pki(name string) string { return c.path("pki", name) }

// kubeconfig is the path of a component's kubeconfig.
func (c *Cluster) kubeconfig(name string) string { return c.pki(name + ".kubeconfig") }

// certificates makes one CA for everything and another for the aggregation
// layer, whose clients may speak for others.
func (c *Cluster) certificates() error {
	if err := os.MkdirAll(c.path("pki"), 0o700); err != nil {
		return err
	}
	now := time.Now()
	var err error
	if c.ca, err = pki.NewCA("test cluster", now); err != nil {
		return err
	}
	frontProxy, err := pki.NewCA("test cluster front proxy", now)
	if err != nil {
		return err
	}
	frontProxyClient, err := frontProxy.IssueClient(now, "front-proxy-client")
	if err != nil {
		return err
	}
	serviceAccounts, err := pki.NewCA("test service accounts", now)
	if err != nil {
		return err
	}
	server, err := c.ca.IssueServer(now, "kubernetes.default.svc", "kubernetes.default", "kubernetes",
		"kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", serviceIP, NodeIP)
	if err != nil {
		return err
	}
	kubeletClient, err := c.ca.IssueClient(now, "kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	for name, pair := range map[string]pki.KeyPair{
		"ca": c.ca, "front-proxy-ca": frontProxy, "front-proxy-client": frontProxyClient, "service-accounts": serviceAccounts,
		"kube-apiserver": server, "kubelet-client": kubeletClient,
	} {
		if err := os.WriteFile(c.pki(name+".crt"), pair.Cert, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(c.pki(name+".key"), pair.Key, 0o600); err != nil {
			return err
		}
	}
	for name, who := range map[string][]string{
		"kubelet":                 {"system:node:" + NodeName, "system:nodes"},
		"kube-controller-manager": {"system:kube-controller-manager"},
		"kube-scheduler":          {"system:kube-scheduler"},
		"kube-proxy":              {"system:kube-proxy"},
		"dns":                     {"dns", "system:masters"},
		"admin":                   {"admin", "system:masters"},
	} {
		if err := c.WriteKubeconfig(c.kubeconfig(name), who[0], who[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// ClientConfig returns the configuration of a client outside the node that
// authenticates with a certificate as the given user in the given groups.
func (c *Cluster) ClientConfig(user string, groups ...string) (*rest.Config, error) {
	pair, err := c.ca.IssueClient(time.Now(), user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            apiServerURL,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.Cert, CertData: pair.Cert, KeyData: pair.Key},
		Dial:            c.Dial,
		QPS:             -1, // tests are in a hurry
	}, nil
}

// WriteKubeconfig writes a user's kubeconfig, for programs on the node.
func (c *Cluster) WriteKubeconfig(path, user string, groups ...string) error {
	pair, err := c.ca.IssueClient(time.Now(), user, groups...)
	if err != nil {
		return err
	}
	k := clientcmdapi.NewConfig()
	k.Clusters["node"] = &clientcmdapi.Cluster{Server: apiServerURL, CertificateAuthorityData: c.ca.Cert}
	k.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	k.Contexts["node"] = &clientcmdapi.Context{Cluster: "node", AuthInfo: user}
	k.CurrentContext = "node"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return clientcmd.WriteToFile(*k, path)
}

// AdminKubeconfig is the path of an administrator's kubeconfig, for programs on
// the node.
func (c *Cluster) AdminKubeconfig() string { return c.kubeconfig("admin") }
