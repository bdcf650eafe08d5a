package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

const (
	linkReceiver = "receiver"
	linkAddress  = "address"
	linkWebhook  = "webhook"

	receiverPod = manifests.ReceiverName + "-0"
)

// runs reports whether the manager runs the receiver.
func (d *doctor) runs() bool {
	return d.installationErr != nil || d.installation.Data[manifests.InstallationClusterIP] != ""
}

// receiver: its pod runs, its volume is there, and the manager hears from it.
func (d *doctor) receiver(ctx context.Context) []Finding {
	var findings []Finding
	if d.runs() {
		findings = append(findings, d.workload(ctx)...)
	}
	return append(findings, d.state()...)
}

func (d *doctor) workload(ctx context.Context) []Finding {
	var set appsv1.StatefulSet
	err := d.get(ctx, d.namespace, manifests.ReceiverName, &set)
	switch {
	case apierrors.IsNotFound(err):
		return []Finding{{
			State: Problem, Link: linkReceiver, Message: "there is no StatefulSet " + manifests.ReceiverName + ", which the manager makes",
			Next: d.kubectl("logs deployment/%s", managerName),
		}}
	case err != nil:
		return []Finding{d.unread(err, linkReceiver, manifests.ReceiverName, "statefulsets.apps", d.namespace)}
	case set.Status.ReadyReplicas > 0:
		return nil // what follows says more
	}
	var findings []Finding
	if f := d.volume(ctx); f != nil {
		findings = append(findings, *f)
	}
	return append(findings, Finding{
		State: Problem, Link: linkReceiver, Message: "its pod is not ready" + d.why(ctx),
		Next: d.kubectl("describe pod %s; its log: %s", receiverPod, d.kubectl("logs %s", receiverPod)),
	})
}

// volume says what is wrong with the volume claim, nil when nothing is known to be.
func (d *doctor) volume(ctx context.Context) *Finding {
	var claim corev1.PersistentVolumeClaim
	err := d.get(ctx, d.namespace, manifests.ReceiverClaim, &claim)
	if err != nil || claim.Status.Phase == corev1.ClaimBound {
		return nil
	}
	return &Finding{
		State: Problem, Link: linkReceiver, Message: fmt.Sprintf("its volume claim %s is %s", manifests.ReceiverClaim, cmp.Or(string(claim.Status.Phase), "not bound")),
		Next: d.kubectl("describe pvc %s", manifests.ReceiverClaim) + "; a StorageClass is named by the value receiver.workload.storage.className",
	}
}

// why the pod is not ready, for the end of a sentence.
func (d *doctor) why(ctx context.Context) string {
	var pod corev1.Pod
	err := d.get(ctx, d.namespace, receiverPod, &pod)
	switch {
	case apierrors.IsNotFound(err):
		return ": it does not exist"
	case err != nil:
		return ""
	}
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i].State
		switch {
		case s.Waiting != nil && s.Waiting.Reason != "":
			return ": " + s.Waiting.Reason
		case s.Terminated != nil && s.Terminated.Reason != "":
			return ": " + s.Terminated.Reason
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return ": " + cmp.Or(c.Reason, "it is not scheduled")
		}
	}
	return ""
}

// state is what the manager hears from the receiver.
func (d *doctor) state() []Finding {
	r := d.seen()
	if r == nil {
		return []Finding{d.noReport(linkReceiver)}
	}
	logs := d.kubectl("logs deployment/%s", managerName)
	if d.runs() {
		logs = d.kubectl("logs %s", receiverPod)
	}
	s := r.Receiver
	if s == nil {
		return []Finding{{
			State: Problem, Link: linkReceiver, Message: "the manager cannot reach it: " + cmp.Or(r.Unreachable, "no cause is known"),
			Next: "check that its pod runs and that no NetworkPolicy is between: " + logs,
		}}
	}
	var findings []Finding
	add := func(state State, next, format string, args ...any) {
		findings = append(findings, Finding{State: state, Link: linkReceiver, Message: fmt.Sprintf(format, args...), Next: next})
	}
	if s.ConfigError != "" {
		add(Problem, "manager and receiver must be of the same version; "+logs, "it refuses its configuration and goes on with number %d: %s", s.Generation, s.ConfigError)
	} else if s.Generation == 0 {
		add(Problem, logs, "it has no configuration yet")
	}
	if s.Full {
		add(Problem, "enlarge the volume by receiver.workload.storage.size", "its volume is full: API servers keep events for a minute, then they are lost")
	}
	if s.Damaged > 0 {
		add(Warning, logs, "%s of its spool could not be read back, and were recorded as lost", plural(int(s.Damaged), "chunk"))
	}
	if s.Quarantined > 0 {
		add(Warning, "see which with `kubectl trail quarantine list`", "%s could not be recorded and are in quarantine", plural(int(s.Quarantined), "event"))
	}
	if s.ExpiredFiles > 0 {
		add(Warning, "mend the bucket, then `kubectl trail redeliver --list` shows what can be delivered still", "trails have given up %s over their quota that it still has", plural(s.ExpiredFiles, "file"))
	}
	if s.AbandonedFiles > 0 {
		add(Warning, "save them with `kubectl trail redeliver --all --to-dir DIR`", "trails that were deleted have left %s undelivered, kept for 30 days", plural(s.AbandonedFiles, "file"))
	}
	if count(findings, Problem) == 0 {
		findings = append([]Finding{{
			State: OK, Link: linkReceiver, Message: fmt.Sprintf("it runs configuration %d, and has been up for %s", s.Generation, age(d.now.Sub(s.Started))),
		}}, findings...)
	}
	return findings
}

// address: API servers post to the address that the receiver has.
func (d *doctor) address(ctx context.Context) []Finding {
	switch {
	case apierrors.IsNotFound(d.installationErr):
		return []Finding{{State: Unchecked, Link: linkAddress, Message: "the manager does not tell: see above"}}
	case d.installationErr != nil:
		return []Finding{d.unread(d.installationErr, linkAddress, manifests.InstallationName, "configmaps", d.namespace)}
	}
	posted := d.installation.Data[manifests.InstallationReceiverURL]
	u, err := url.Parse(posted)
	if err != nil || u.Hostname() == "" {
		return []Finding{{
			State: Problem, Link: linkAddress, Message: "the ConfigMap " + manifests.InstallationName + " was changed by hand",
			Next: d.kubectl("rollout restart deployment/%s", managerName) + ", which writes it again",
		}}
	}
	ip := d.installation.Data[manifests.InstallationClusterIP]
	if ip == "" {
		return []Finding{{State: OK, Link: linkAddress, Message: "API servers are told to post to " + u.Host + "; the manager does not run the receiver"}}
	}
	var service corev1.Service
	err = d.get(ctx, d.namespace, manifests.ReceiverName, &service)
	switch {
	case apierrors.IsNotFound(err):
		return []Finding{{
			State: Problem, Link: linkAddress, Message: "there is no Service " + manifests.ReceiverName + ", which had the address " + ip,
			Next: d.kubectl("rollout restart deployment/%s", managerName) + ", which makes it again, with the same address",
		}}
	case err != nil:
		return []Finding{d.unread(err, linkAddress, manifests.ReceiverName, "services", d.namespace)}
	case service.Spec.ClusterIP != ip:
		return []Finding{{
			State: Problem, Link: linkAddress,
			Message: fmt.Sprintf("the Service %s has the address %s, and API servers were told to post to %s", manifests.ReceiverName, cmp.Or(service.Spec.ClusterIP, "none"), u.Host),
			Next: d.kubectl("rollout restart deployment/%s", managerName) +
				", then connect each API server again with what `kubectl trail webhook-config` prints",
		}}
	case u.Hostname() != ip:
		return []Finding{{State: OK, Link: linkAddress, Message: "API servers are told to post to " + u.Host + ", as receiver.apiServerAddress says"}}
	}
	return []Finding{{State: OK, Link: linkAddress, Message: "API servers are told to post to " + net.JoinHostPort(ip, u.Port()) + ", which is the Service's address"}}
}

// webhook: the API server reaches the receiver. It is asked to by way of its
// proxy, which has no certificate of this installation: that it is refused in
// the handshake is the proof that the receiver is there.
func (d *doctor) webhook(ctx context.Context) []Finding {
	if !d.runs() {
		return []Finding{{State: Unchecked, Link: linkWebhook, Message: "the manager does not run the receiver, so the API server has no way to it"}}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := d.server.Get(ctx, fmt.Sprintf("/api/v1/namespaces/%s/services/https:%s:%d/proxy/", d.namespace, manifests.ReceiverName, managerconfig.IntakePort))
	if err != nil {
		d.failed = err
		return []Finding{{State: Unchecked, Link: linkWebhook, Message: err.Error()}}
	}
	body := string(answer.Body)
	away := func(message string) []Finding {
		return []Finding{{
			State: Problem, Link: linkWebhook, Message: message,
			Next: "check that the pod is ready, and that no NetworkPolicy or firewall is between control plane and pods: " + d.kubectl("get endpointslices -l kubernetes.io/service-name=%s", manifests.ReceiverName),
		}}
	}
	switch {
	case refusedStranger(body):
		return []Finding{{State: OK, Link: linkWebhook, Message: "the API server that you use reaches the receiver's pod, which asks it for a certificate"}}
	case answer.Status == http.StatusForbidden:
		return []Finding{{State: Unchecked, Link: linkWebhook, Message: fmt.Sprintf("needs get on services/proxy in namespace %q", d.namespace)}}
	case answer.Status == http.StatusNotFound:
		return []Finding{{State: Unchecked, Link: linkWebhook, Message: "there is no Service to reach it by: see above"}}
	case strings.Contains(body, "no endpoints available"):
		return away("the Service has no pod behind it")
	case strings.Contains(body, "connection refused"):
		return away("the API server that you use reaches the receiver's pod, where nobody listens")
	case strings.Contains(body, "timeout"), strings.Contains(body, "deadline"):
		return away("the API server that you use does not reach the receiver's pod in time")
	case strings.Contains(body, "no route to host"), strings.Contains(body, "unreachable"):
		return away("the API server that you use has no route to the receiver's pod")
	case answer.Status >= http.StatusInternalServerError:
		return away(fmt.Sprintf("the API server that you use does not reach the receiver's pod: HTTP %d", answer.Status))
	}
	return []Finding{{
		State: Warning, Link: linkWebhook, Message: fmt.Sprintf("something answers in the receiver's place: HTTP %d without asking for a certificate", answer.Status),
		Next: "check what the Service leads to: " + d.kubectl("get endpointslices -l kubernetes.io/service-name=%s", manifests.ReceiverName),
	}}
}

// refusedStranger: the receiver has ended the handshake for want of a
// certificate. With TLS 1.3 its alert may be overtaken by the end of the
// connection.
func refusedStranger(body string) bool {
	for _, sign := range []string{"remote error: tls", "connection reset by peer", "broken pipe", "EOF", "closed"} {
		if strings.Contains(body, sign) {
			return true
		}
	}
	return false
}
