//go:build linux

package cluster

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// ServeDNS answers queries for the names of Services, which is all that the
// pods of this cluster look up: there is no world outside to resolve names of.
func ServeDNS(ctx context.Context, kubeconfig, address string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services().Lister()
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())

	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	query := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(query)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if answer, err := answerQuery(services, query[:n]); err == nil { // who sends no query gets no answer
			_, _ = conn.WriteTo(answer, from) // a lost answer is asked for again
		}
	}
}

// zone ends the names of Services.
const zone = ".svc.cluster.local."

func answerQuery(services listers.ServiceLister, query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if err != nil {
		return nil, err
	}
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	ip, err := resolve(services, strings.ToLower(question.Name.String()))
	switch {
	case apierrors.IsNotFound(err):
		header.RCode = dnsmessage.RCodeNameError
	case err != nil:
		return nil, err
	}
	b := dnsmessage.NewBuilder(nil, header)
	if err := errors.Join(b.StartQuestions(), b.Question(question), b.StartAnswers()); err != nil {
		return nil, err
	}
	if v4 := ip.To4(); v4 != nil && question.Type == dnsmessage.TypeA {
		resource := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: uint32(5 * time.Second / time.Second)}
		if err := b.AResource(resource, dnsmessage.AResource{A: [4]byte(v4)}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// resolve returns the address of a Service; a headless one has none.
func resolve(services listers.ServiceLister, name string) (net.IP, error) {
	labels := strings.Split(strings.TrimSuffix(name, zone), ".")
	if !strings.HasSuffix(name, zone) || len(labels) != 2 {
		return nil, apierrors.NewNotFound(corev1.Resource("services"), name)
	}
	s, err := services.Services(labels[1]).Get(labels[0])
	if err != nil {
		return nil, err
	}
	return net.ParseIP(s.Spec.ClusterIP), nil
}
