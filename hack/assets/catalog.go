package assets

import "strings"

// asset is a program that is built from a Go module under hack/.
type asset struct {
	name      string
	module    string // folder of the Go module that pins it, under hack/
	pkg       string // its main package
	versionOf string // the required module whose version it carries
	// versionVars are the variables that the program reads its version from; a
	// program that is built as a dependency cannot find it out by itself.
	versionVars []string
	bareVersion bool   // versionVars are set without the leading "v"
	cost        string // CPU time of a cold build, told to the one who waits
	kube        bool   // part of the control plane, so KubeEnv may provide it
}

// catalog is everything that can be built. The costs were measured on a cold
// build cache, in this order; what two programs share is counted for the first.
var catalog = []asset{
	{
		name: "kube-apiserver", module: "kube", pkg: "k8s.io/kubernetes/cmd/kube-apiserver",
		versionOf: "k8s.io/kubernetes", versionVars: kubeVersionVars, cost: "6 CPU-minutes", kube: true,
	},
	{
		name: "etcd", module: "kube", pkg: "go.etcd.io/etcd/server/v3",
		versionOf: "go.etcd.io/etcd/server/v3", cost: "15 CPU-seconds", kube: true,
	},
	{
		name: "kubectl", module: "kube", pkg: "k8s.io/kubernetes/cmd/kubectl",
		versionOf: "k8s.io/kubernetes", versionVars: kubeVersionVars, cost: "35 CPU-seconds", kube: true,
	},
	{
		name: "kubelet", module: "kube", pkg: "k8s.io/kubernetes/cmd/kubelet",
		versionOf: "k8s.io/kubernetes", versionVars: kubeVersionVars, cost: "80 CPU-seconds",
	},
	{
		name: "kube-controller-manager", module: "kube", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager",
		versionOf: "k8s.io/kubernetes", versionVars: kubeVersionVars, cost: "50 CPU-seconds",
	},
	{
		name: "kube-scheduler", module: "kube", pkg: "k8s.io/kubernetes/cmd/kube-scheduler",
		versionOf: "k8s.io/kubernetes", versionVars: kubeVersionVars, cost: "10 CPU-seconds",
	},
	{
		name: "kube-proxy", module: "kube", pkg: "k8s.io/kubernetes/cmd/kube-proxy",
		versionOf: "k8s.io/kubernetes", versionVars: kubeVersionVars, cost: "15 CPU-seconds",
	},
	{
		name: "versitygw", module: "versitygw", pkg: "github.com/versity/versitygw/cmd/versitygw",
		versionOf: "github.com/versity/versitygw", versionVars: []string{"main.Version"}, cost: "80 CPU-seconds",
	},
	{
		name: "minio", module: "minio", pkg: "github.com/minio/minio",
		versionOf: "github.com/minio/minio", cost: "3 CPU-minutes",
	},
	{
		name: "helm", module: "helm", pkg: "helm.sh/helm/v3/cmd/helm",
		versionOf: "helm.sh/helm/v3", versionVars: []string{"helm.sh/helm/v3/internal/version.version"}, cost: "110 CPU-seconds",
	},
	{
		name: "controller-gen", module: "tools", pkg: "sigs.k8s.io/controller-tools/cmd/controller-gen",
		versionOf:   "sigs.k8s.io/controller-tools",
		versionVars: []string{"sigs.k8s.io/controller-tools/pkg/version.version"}, cost: "35 CPU-seconds",
	},
	{
		name: "golangci-lint", module: "tools", pkg: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint",
		versionOf: "github.com/golangci/golangci-lint/v2", versionVars: []string{"main.version"},
		bareVersion: true, cost: "85 CPU-seconds",
	},
}

// kubeVersionVars: the API server answers /version from the first, and both
// stand in the User-Agent of its clients.
var kubeVersionVars = []string{
	"k8s.io/component-base/version.gitVersion",
	"k8s.io/client-go/pkg/version.gitVersion",
}

// flags returns the arguments of go build that decide what comes out of it.
func (a asset) flags(version string) []string {
	if a.bareVersion {
		version = strings.TrimPrefix(version, "v")
	}
	ldflags := "-s -w"
	for _, v := range a.versionVars {
		ldflags += " -X " + v + "=" + version
	}
	return []string{"-trimpath", "-ldflags", ldflags}
}
