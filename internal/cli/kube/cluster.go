// Package kube is the commands' way to the cluster: a client for the few kinds
// they read, errors as sentences, and completion of names.
package kube

import (
	"fmt"
	"io"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// Scheme knows the kinds that commands read.
var Scheme = runtime.NewScheme()

func init() {
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, v1alpha1.AddToScheme, appsv1.AddToScheme, coordinationv1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		utilruntime.Must(add(Scheme))
	}
}

// Cluster is the cluster that the user has chosen.
type Cluster interface {
	// Client returns a client for the kinds of Scheme.
	Client() (client.Client, error)
	// Server returns the API server itself.
	Server() (Server, error)
	// Forward returns the way to a port of a pod.
	Forward(namespace, pod string, port int) (*Forward, error)
	// Namespace is that of --namespace, else that of the kubeconfig's context.
	Namespace() (string, error)
}

// New returns the cluster that the flags choose. The API server's warnings are
// written to errOut.
func New(flags genericclioptions.RESTClientGetter, errOut io.Writer) Cluster {
	return &chosen{flags: flags, errOut: errOut}
}

type chosen struct {
	flags  genericclioptions.RESTClientGetter
	errOut io.Writer
}

func (c *chosen) Client() (client.Client, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, explainConfig(err)
	}
	config.WarningHandler = rest.NewWarningWriter(c.errOut, rest.WarningWriterOptions{Deduplicate: true})
	cl, err := client.New(config, client.Options{Scheme: Scheme, Mapper: mapper()})
	if err != nil {
		return nil, explainConfig(err)
	}
	return cl, nil
}

func (c *chosen) Namespace() (string, error) {
	ns, _, err := c.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", explainConfig(err)
	}
	return ns, nil
}

// mapper spares every command the discovery of the cluster's kinds: those that
// are read are known.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(v1alpha1.GroupVersion.WithKind("Trail"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("OrganizationTrail"), meta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("EventSelector"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	for _, kind := range []string{"Pod", "Service", "PersistentVolumeClaim"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	m.Add(appsv1.SchemeGroupVersion.WithKind("StatefulSet"), meta.RESTScopeNamespace)
	m.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	m.Add(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"), meta.RESTScopeRoot)
	return m
}

func explainConfig(err error) error {
	return fmt.Errorf("there is no usable cluster configuration: %s; choose one with --kubeconfig and --context", oneLine(err.Error()))
}
