package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/staticpod"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

const (
	linkAPIServer = "kube-apiserver"
	linkEvents    = "events"

	// An API server posts within a second of an event. With the standard policy
	// there are some every few minutes in any cluster: watches that begin anew.
	quiet  = 10 * time.Minute
	silent = time.Hour

	// maxAPIServers bounds how many pods of kube-apiserver are looked at.
	maxAPIServers = 100
)

// labels by which distributions mark the pods of kube-apiserver.
var apiServerLabels = []client.MatchingLabels{{"component": "kube-apiserver"}, {"k8s-app": "kube-apiserver"}}

// apiServers: each kube-apiserver that runs as a pod has the flags that are
// asked for.
func (d *doctor) apiServers(ctx context.Context) []Finding {
	pods, err := d.apiServerPods(ctx)
	if err != nil {
		return []Finding{d.unread(err, linkAPIServer, "", "pods", "kube-system")}
	}
	if len(pods) == 0 {
		return []Finding{{
			State: Unchecked, Link: linkAPIServer, Message: "no kube-apiserver is seen as a pod here, as with k3s: what arrives, below, has to tell",
		}}
	}
	var findings []Finding
	var fine []string
	for i := range pods {
		name := d.apiServerName(&pods[i])
		audit := staticpod.Of(&pods[i].Spec)
		if audit == nil {
			continue
		}
		next := "set its flags and mounts as `" + d.webhookConfig("--apiserver %s --flags", name) + "` and docs/install say"
		switch {
		case len(audit.Broken) > 0:
			findings = append(findings, Finding{State: Problem, Link: linkAPIServer, Subject: pods[i].Name, Message: strings.Join(audit.Broken, "; "), Next: next})
		case len(audit.Differences) > 0:
			findings = append(findings, Finding{State: Warning, Link: linkAPIServer, Subject: pods[i].Name, Message: strings.Join(audit.Differences, "; "), Next: next})
		default:
			fine = append(fine, pods[i].Name)
		}
	}
	if len(fine) > 0 {
		findings = append(findings, Finding{State: OK, Link: linkAPIServer, Message: "the audit flags are as asked for: " + strings.Join(fine, ", ")})
	}
	if d.report != nil && len(pods) > len(d.report.APIServers) {
		findings = append(findings, Finding{
			State: Problem, Link: linkAPIServer,
			Message: fmt.Sprintf("there are %d, and receiver.apiServers has %s: not all can be connected", len(pods), plural(len(d.report.APIServers), "name")),
			Next:    "add a name for each to receiver.apiServers, and connect them",
		})
	}
	return findings
}

// apiServerPods are the pods of kube-apiserver, by name.
func (d *doctor) apiServerPods(ctx context.Context) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for _, labels := range apiServerLabels {
		var list corev1.PodList
		if err := d.client.List(ctx, &list, client.InNamespace("kube-system"), labels, client.Limit(maxAPIServers)); err != nil {
			return nil, err
		}
		pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return staticpod.Of(&p.Spec) == nil })
		if len(pods) > 0 {
			return pods, nil
		}
	}
	return nil, nil
}

// apiServerName is the name in receiver.apiServers: that of the node if it is
// there, else a word to be replaced.
func (d *doctor) apiServerName(pod *corev1.Pod) string {
	if d.report != nil {
		if slices.Contains(d.report.APIServers, pod.Spec.NodeName) {
			return pod.Spec.NodeName
		}
		if len(d.report.APIServers) == 1 {
			return d.report.APIServers[0]
		}
	}
	return "NAME"
}

// events: each API server posts.
func (d *doctor) events(context.Context) []Finding {
	r := d.seen()
	if r == nil {
		return []Finding{d.noReport(linkEvents)}
	}
	if r.Receiver == nil {
		return []Finding{{State: Unchecked, Link: linkEvents, Message: "the receiver does not tell: see above"}}
	}
	var findings []Finding
	var fine []string
	for _, name := range r.APIServers {
		i := slices.IndexFunc(r.Receiver.Sources, func(s manifests.ReceiverStateSource) bool { return s.APIServer == name })
		f := Finding{Link: linkEvents, Subject: name, Next: "compare its file with what `" + d.webhookConfig("--apiserver %s", name) + "` prints; the log of that kube-apiserver says \"Error in audit plugin\" when it cannot post"}
		var since time.Duration
		if i >= 0 {
			since = d.now.Sub(r.Receiver.Sources[i].LastPost)
		}
		switch {
		case i < 0 && d.now.Sub(r.Receiver.Started) < quiet:
			f.State, f.Message = Warning, "it has sent nothing since the receiver was started "+d.ago(r.Receiver.Started)
			f.Next = "look again in some minutes"
		case i < 0:
			f.State, f.Message = Problem, "it has sent nothing since the receiver was started "+d.ago(r.Receiver.Started)
			f.Next = "connect it: `" + d.webhookConfig("--apiserver %s", name) + "`, and its flags with --flags; see docs/install"
		case since >= silent:
			f.State, f.Message = Problem, "it sent its last events "+age(since)+" ago"
		case since >= quiet:
			f.State, f.Message = Warning, "it sent its last events "+age(since)+" ago"
		default:
			fine = append(fine, fmt.Sprintf("%s (%s ago)", name, age(since)))
			continue
		}
		findings = append(findings, f)
	}
	if len(fine) > 0 {
		findings = append([]Finding{{State: OK, Link: linkEvents, Message: "arrive from " + strings.Join(fine, ", ")}}, findings...)
	}
	for _, s := range r.Receiver.Sources {
		if !slices.Contains(r.APIServers, s.APIServer) && d.now.Sub(s.LastPost) < silent {
			findings = append(findings, Finding{
				State: Warning, Link: linkEvents, Subject: s.APIServer, Message: "it sends events, and is not in receiver.apiServers",
				Next: "add it there, or remove its audit webhook",
			})
		}
	}
	return findings
}
