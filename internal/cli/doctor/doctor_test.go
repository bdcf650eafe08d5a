package doctor

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

func exit(err error) int {
	var answer interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &answer):
		return answer.ExitCode()
	}
	return 2
}

func TestHealthy(t *testing.T) {
	w := newWorld(t)
	bad, err := w.findings()
	if err != nil || len(bad) > 0 {
		t.Fatalf("found %v, %v", bad, err)
	}
	out, errOut, err := w.run()
	if err != nil || errOut != "" {
		t.Fatalf("got %v and %q", err, errOut)
	}
	clitest.Golden(t, "healthy.txt", out)
	if out, _, err = w.run("-o", "json"); err != nil {
		t.Fatal(err)
	}
	clitest.Golden(t, "healthy.json", out)
}

// broken is a trail with a condition that is not fine.
func broken(ns, name, condition, reason, message string, status metav1.ConditionStatus) *v1alpha1.Trail {
	t := clitest.Trail(ns, name)
	for i := range t.Status.Conditions {
		c := &t.Status.Conditions[i]
		if c.Type == condition || c.Type == v1alpha1.ConditionReady {
			c.Status, c.Reason, c.Message = status, reason, message
		}
	}
	return t
}

// harms are all that can be wrong: how it is made, and what is then found.
var harms = map[string]struct {
	harm  func(*world)
	state State
	link  string
	want  string // of subject and message
	next  string
}{
	"no kinds":        {func(w *world) { delete(w.Answers, pathKinds) }, Problem, linkKinds, "does not serve trails, organizationtrails, eventselectors", "crds.enabled"},
	"a kind missing":  {func(w *world) { w.Answers[pathKinds] = served("trails") }, Problem, linkKinds, "does not serve organizationtrails, eventselectors of", "crds.enabled"},
	"broken kinds":    {func(w *world) { w.Answers[pathKinds] = kube.Answer{Status: 200, Body: []byte("{")} }, Problem, linkKinds, "does not serve trails", ""},
	"hidden kinds":    {func(w *world) { w.Answers[pathKinds] = kube.Answer{Status: 403} }, Unchecked, linkKinds, "system:discovery", ""},
	"failing kinds":   {func(w *world) { w.Answers[pathKinds] = kube.Answer{Status: 500} }, Unchecked, linkKinds, "HTTP 500", ""},
	"an older CRD":    {older, Warning, linkKinds, "trails.trail-operator.io: the cluster's fields differ", "upgrade the installation"},
	"no manager":      {func(w *world) { w.absent = []string{"Deployment/trail-manager"} }, Problem, linkManager, "there is no Deployment trail-manager", "--operator-namespace"},
	"manager down":    {func(w *world) { w.deployment.Status.Conditions[0].Status = corev1.ConditionFalse }, Problem, linkManager, "is not available", "describe pods"},
	"never led":       {func(w *world) { w.absent = []string{"Lease/" + manifests.LeaseName} }, Problem, linkManager, "no manager has ever led", "logs"},
	"lost its lead":   {func(w *world) { w.lease.Spec.RenewTime.Time = clitest.Now.Add(-time.Minute) }, Problem, linkManager, "was not renewed", "logs"},
	"released":        {func(w *world) { w.lease.Spec.HolderIdentity = ptr.To("") }, Problem, linkManager, "no manager leads", "logs"},
	"not set up":      {func(w *world) { w.absent = []string{"ConfigMap/trail-installation"} }, Problem, linkManager, "has not set up the installation", "logs"},
	"no report":       {func(w *world) { w.absent = []string{"ConfigMap/trail-receiver-status"} }, Warning, linkManager, "does not tell", "upgrade the installation"},
	"old report":      {func(w *world) { w.report.Time = clitest.Now.Add(-5 * time.Minute); w.written = w.report.Time }, Problem, linkManager, "it last told 5m ago", "logs"},
	"no StatefulSet":  {func(w *world) { w.absent = []string{"StatefulSet/trail-receiver"} }, Problem, linkReceiver, "there is no StatefulSet", "logs"},
	"receiver gone":   {func(w *world) { w.set.Status.ReadyReplicas = 0; w.absent = []string{"Pod/trail-receiver-0"} }, Problem, linkReceiver, "its pod is not ready: it does not exist", "describe pod"},
	"no image":        {waiting, Problem, linkReceiver, "its pod is not ready: ImagePullBackOff", "describe pod trail-receiver-0"},
	"not scheduled":   {unschedulable, Problem, linkReceiver, "its pod is not ready: Unschedulable", "describe pod"},
	"no volume":       {func(w *world) { w.set.Status.ReadyReplicas = 0; w.claim.Status.Phase = corev1.ClaimPending }, Problem, linkReceiver, "data-trail-receiver-0 is Pending", "StorageClass"},
	"silent receiver": {func(w *world) { w.report.Receiver, w.report.Unreachable = nil, "the receiver does not answer: refused" }, Problem, linkReceiver, "the manager cannot reach it: the receiver does not answer: refused", "NetworkPolicy"},
	"refuses":         {func(w *world) { w.report.Receiver.ConfigError = "a file is missing." }, Problem, linkReceiver, "goes on with number 12: a file is missing.", "same version"},
	"no config":       {func(w *world) { w.report.Receiver.Generation = 0 }, Problem, linkReceiver, "it has no configuration yet", "logs trail-receiver-0"},
	"full":            {func(w *world) { w.report.Receiver.Full = true }, Problem, linkReceiver, "its volume is full", "storage.size"},
	"damaged":         {func(w *world) { w.report.Receiver.Damaged = 2 }, Warning, linkReceiver, "2 chunks of its spool", "logs"},
	"quarantine":      {func(w *world) { w.report.Receiver.Quarantined = 1 }, Warning, linkReceiver, "1 event could not be recorded", "quarantine list"},
	"expired":         {func(w *world) { w.report.Receiver.ExpiredFiles = 3 }, Warning, linkReceiver, "given up 3 files", "redeliver --list"},
	"abandoned":       {func(w *world) { w.report.Receiver.AbandonedFiles = 1 }, Warning, linkReceiver, "have left 1 file undelivered", "--to-dir"},
	"no Service":      {func(w *world) { w.absent = []string{"Service/trail-receiver"} }, Problem, linkAddress, "there is no Service trail-receiver, which had the address 10.96.0.9", "rollout restart"},
	"other address":   {func(w *world) { w.service.Spec.ClusterIP = "10.96.0.10" }, Problem, linkAddress, "has the address 10.96.0.10, and API servers were told to post to 10.96.0.9:8443", "connect each API server again"},
	"edited":          {func(w *world) { w.installed.Data[manifests.InstallationReceiverURL] = "\x7f" }, Problem, linkAddress, "was changed by hand", "rollout restart"},
	"no endpoints":    {proxy(503, `no endpoints available for service "https:trail-receiver:8443"`), Problem, linkWebhook, "the Service has no pod behind it", "endpointslices"},
	"refused":         {proxy(502, "error trying to reach service: dial tcp 10.0.0.1:8443: connect: connection refused"), Problem, linkWebhook, "where nobody listens", "NetworkPolicy"},
	"timeout":         {proxy(502, "error trying to reach service: dial tcp 10.0.0.1:8443: i/o timeout"), Problem, linkWebhook, "not reach the receiver's pod in time", "firewall"},
	"no route":        {proxy(502, "dial tcp: connect: no route to host"), Problem, linkWebhook, "has no route", "firewall"},
	"other failure":   {proxy(502, "planted"), Problem, linkWebhook, "does not reach the receiver's pod: HTTP 502", "firewall"},
	"impostor":        {proxy(200, "hello"), Warning, linkWebhook, "something answers in the receiver's place: HTTP 200", "endpointslices"},
	"no proxy right":  {proxy(403, "planted"), Unchecked, linkWebhook, `needs get on services/proxy in namespace "trail-operator-system"`, ""},
	"no proxy":        {proxy(404, "planted"), Unchecked, linkWebhook, "there is no Service", ""},
	"untold":          {func(w *world) { w.report.Certificates = nil }, Unchecked, linkCertificates, "older than this plugin", ""},
	"no certificates": {func(w *world) { w.absent = []string{"ConfigMap/trail-certificates"} }, Warning, linkCertificates, "there is no ConfigMap trail-certificates", "logs deployment/trail-manager"},
	"not renewed":     {func(w *world) { w.end(manifests.ManagerCertName, 10*day, false) }, Warning, linkCertificates, "trail-manager-tls: it expires in 10 days, on 2026-03-11", "logs deployment/trail-manager, which says why"},
	"receiver ended":  {func(w *world) { w.end(manifests.ServerCertName, -10*day, false) }, Problem, linkCertificates, "trail-receiver-tls: it expired 10d ago", "logs deployment/trail-manager"},
	"ends":            {func(w *world) { w.end("trail-apiserver-cp-2", 89*day, false) }, Warning, linkCertificates, "trail-apiserver-cp-2: it expires in 89 days", "(umask 077; kubectl trail webhook-config --rotate --apiserver cp-2 > webhook.kubeconfig), put the file in place"},
	"ended":           {func(w *world) { w.end("trail-apiserver-cp-2", 0, false) }, Problem, linkCertificates, "trail-apiserver-cp-2: it expired 0s ago", "webhook-config --rotate --apiserver cp-2"},
	"ends, issued":    {func(w *world) { w.end("trail-apiserver-cp-2", 89*day, true) }, Warning, linkCertificates, "another one was issued, and is not in use yet", "kubectl trail webhook-config --apiserver cp-2 > webhook.kubeconfig"},
	"CA ends":         {func(w *world) { w.end(manifests.IntakeCAName, 89*day, false) }, Warning, linkCertificates, "trail-intake-ca: it expires in 89 days", "kubectl trail webhook-config --rotate-ca"},
	"CA rotates": {func(w *world) {
		w.end(manifests.IntakeCAName, 89*day, false)
		w.certs.Data[manifests.CertificatesRotation] = "It waits for cp-2."
	}, Warning, linkCertificates, "trail-intake-ca: it expires in 89 days", "under way: see below"},
	"rotation": {func(w *world) { w.certs.Data[manifests.CertificatesRotation] = "It waits for cp-2." }, Warning, linkCertificates, "a rotation is not done: It waits for cp-2.", "docs/runbook"},
	"not placed": {
		func(w *world) { w.certs.Data[manifests.CertificatesAPIServer+"cp-2"] = "03" }, Warning, linkCertificates,
		"trail-apiserver-cp-2: the API server cp-2 posts with a certificate that was replaced", "kubectl trail webhook-config --apiserver cp-2 > webhook.kubeconfig",
	},
	"shared file": {
		func(w *world) { w.report.Receiver.Sources[1].Certificates = used(clitest.Now, "02", "00") }, Warning, linkCertificates,
		"trail-apiserver-cp-2: it is in use, and the one that it replaces was 60s ago", "the file of cp-2: give it its own",
	},
	"no policy flag": {func(w *world) { w.flag("audit-policy-file", "") }, Problem, linkAPIServer, "kube-apiserver-cp-1: it has no --audit-policy-file, so it records nothing", "--apiserver cp-1 --flags"},
	"blocking":       {func(w *world) { w.flag("audit-webhook-mode", "blocking") }, Problem, linkAPIServer, "every API call waits", "--flags"},
	"batch size":     {func(w *world) { w.flag("audit-webhook-batch-max-size", "1") }, Warning, linkAPIServer, "--audit-webhook-batch-max-size is 1 instead of 400", "--flags"},
	"no truncation":  {func(w *world) { w.flag("audit-webhook-truncate-enabled", "") }, Warning, linkAPIServer, "--audit-webhook-truncate-enabled is missing", "--flags"},
	"not mounted":    {func(w *world) { w.apiServers[0].Spec.Containers[0].VolumeMounts = nil }, Problem, linkAPIServer, "no volume is mounted at /etc/kubernetes/audit", "mounts"},
	"k3s":            {func(w *world) { w.apiServers = nil }, Unchecked, linkAPIServer, "as with k3s", ""},
	"one more":       {func(w *world) { w.apiServers = append(w.apiServers, apiServer("cp-3", "")) }, Problem, linkAPIServer, "there are 3, and receiver.apiServers has 2 names", "add a name"},
	"never seen":     {func(w *world) { w.report.Receiver.Sources = w.report.Receiver.Sources[:1] }, Problem, linkEvents, "cp-2: it has sent nothing since the receiver was started 2d2h ago", "connect it"},
	"just restarted": {func(w *world) {
		w.report.Receiver.Sources = nil
		w.report.Receiver.Started = clitest.Now.Add(-time.Minute)
	}, Warning, linkEvents, "cp-1: it has sent nothing since the receiver was started 60s ago", "look again"},
	"quiet":  {func(w *world) { w.report.Receiver.Sources[0].LastPost = clitest.Now.Add(-10 * time.Minute) }, Warning, linkEvents, "cp-1: it sent its last events 10m ago", "Error in audit plugin"},
	"silent": {func(w *world) { w.report.Receiver.Sources[0].LastPost = clitest.Now.Add(-time.Hour) }, Problem, linkEvents, "cp-1: it sent its last events 60m ago", "webhook-config --apiserver cp-1"},
	"stranger": {func(w *world) {
		w.report.Receiver.Sources = append(w.report.Receiver.Sources, manifests.ReceiverStateSource{APIServer: "old", LastPost: clitest.Now})
	}, Warning, linkEvents, "old: it sends events, and is not in receiver.apiServers", "add it"},
	"forward fails": {func(w *world) {
		w.report.Receiver.Forward = &manifests.ReceiverStateForward{Sent: 5, Waiting: 3, WaitingBytes: 2 << 20, Failing: &clitest.Before(time.Minute).Time, Failure: "it cannot be reached"}
	}, Warning, linkForwarding, "the second receiver has taken nothing for 60s: it cannot be reached; POSTs since the receiver was started 2d2h ago: 5 sent, 3 waiting (2.0 MiB), 0 dropped", "intake.forwardTo"},
	"forward is dead": {func(w *world) {
		w.report.Receiver.Forward = &manifests.ReceiverStateForward{Dropped: 4, Failing: &clitest.Before(10 * time.Minute).Time, Failure: "it answers 503"}
	}, Problem, linkForwarding, "taken nothing for 10m: it answers 503; POSTs since the receiver was started 2d2h ago: 0 sent, 0 waiting (0 B), 4 dropped", "oldest are dropped"},
	"forward dropped": {
		func(w *world) { w.report.Receiver.Forward = &manifests.ReceiverStateForward{Sent: 9, Dropped: 1} }, Warning, linkForwarding,
		"did not get everything; POSTs since the receiver was started 2d2h ago: 9 sent, 0 waiting (0 B), 1 dropped", "trail_forward_dropped_total",
	},
	"local clock":      {func(w *world) { w.local = clitest.Now.Add(10 * time.Minute) }, Warning, linkClock, "this computer is 10m ahead of the API server", "set its clock"},
	"manager's clock":  {func(w *world) { w.written = w.report.Time.Add(-time.Minute) }, Warning, linkClock, "the manager is 60s ahead of the API server", "NTP"},
	"far behind":       {func(w *world) { w.written = w.report.Time.Add(time.Hour) }, Problem, linkClock, "the manager is 60m behind the API server", "NTP"},
	"receiver's clock": {func(w *world) { w.report.Receiver.Sources[0].LastPost = clitest.Now.Add(2 * time.Minute) }, Warning, linkClock, "the receiver is 2m20s ahead of the manager", "NTP"},
	"small policy": {func(w *world) {
		w.trails = append(w.trails, broken("shop", "narrow", v1alpha1.ConditionReceiving, v1alpha1.ReasonPolicyTooSmall, "Reads are missing.", metav1.ConditionFalse))
	}, Problem, linkPolicy, "do not record what is selected by shop/narrow", "kubectl trail audit-policy"},
	"less than all": {func(w *world) {
		w.trails = append(w.trails, broken("shop", "all", v1alpha1.ConditionReceiving, v1alpha1.ReasonConfigurationInForce,
			"The receiver records this generation from position 7 on. The API server cp-1 sends no reads, which this trail selects.", metav1.ConditionTrue))
	}, Warning, linkPolicy, "The API server cp-1 sends no reads", "on purpose"},
	"no trail":   {func(w *world) { w.trails = nil }, Warning, linkTrails, "there is no trail", "docs/kinds/trail.md"},
	"bad bucket": {trouble("bucket", v1alpha1.ConditionBucketReady, v1alpha1.ReasonAccessDenied, metav1.ConditionFalse), Problem, linkTrails, "shop/bucket: BucketReady is False (AccessDenied): The bucket may not be used with the credentials in the Secret bucket.", "kubectl trail status bucket -n shop"},
	"delivery":   {trouble("late", v1alpha1.ConditionDelivering, v1alpha1.ReasonClockSkew, metav1.ConditionFalse), Problem, linkTrails, "Delivering is False (ClockSkew)", "status late"},
	"lost": {func(w *world) {
		t := clitest.Trail("shop", "lost")
		t.Status.Conditions = append(t.Status.Conditions, clitest.Condition(v1alpha1.ConditionNoLoss, metav1.ConditionFalse, v1alpha1.ReasonEventsLost, "The API servers lost 5 events."))
		w.trails = append(w.trails, t)
	}, Warning, linkTrails, "NoLoss is False (EventsLost)", "status lost"},
	"tampered": {func(w *world) {
		t := clitest.Trail("shop", "changed")
		t.Status.Conditions = append(t.Status.Conditions, clitest.Condition(v1alpha1.ConditionValidated, metav1.ConditionFalse, v1alpha1.ReasonLogFilesInvalid, "LogFileMissing 3"))
		w.trails = append(w.trails, t)
	}, Problem, linkTrails, "Validated is False (LogFilesInvalid)", "status changed"},
	"not validated": {func(w *world) {
		t := clitest.Trail("shop", "unseen")
		t.Status.Conditions = append(t.Status.Conditions, clitest.Condition(v1alpha1.ConditionValidated, metav1.ConditionUnknown, v1alpha1.ReasonValidationFailed, "The last validation"))
		w.trails = append(w.trails, t)
	}, Warning, linkTrails, "Validated is Unknown (ValidationFailed)", "status unseen"},
	"digests": {trouble("digest", v1alpha1.ConditionDigestsCurrent, v1alpha1.ReasonDigestLate, metav1.ConditionFalse), Problem, linkTrails, "DigestsCurrent is False (DigestLate)", "status digest"},
	"unknown": {trouble("away", v1alpha1.ConditionReceiving, v1alpha1.ReasonReceiverUnreachable, metav1.ConditionUnknown), Warning, linkTrails, "Receiving is Unknown (ReceiverUnreachable)", "status away"},
	"overlooked": {func(w *world) {
		t := clitest.Trail("shop", "fresh")
		t.Status = v1alpha1.TrailStatus{}
		w.trails = append(w.trails, t)
	}, Problem, linkTrails, "shop/fresh: the manager has not looked at it", "status fresh"},
	"will not go": {func(w *world) {
		t := clitest.Trail("shop", "going")
		t.Finalizers, t.DeletionTimestamp = []string{"x/y"}, clitest.Before(time.Hour)
		w.trails = append(w.trails, t)
	}, Warning, linkTrails, "shop/going: it has been going for 60m", "status going"},
}

func proxy(status int, body string) func(*world) {
	return func(w *world) { w.Answers[pathProxy] = kube.Answer{Status: status, Body: []byte(body)} }
}

func trouble(name, condition, reason string, status metav1.ConditionStatus) func(*world) {
	return func(w *world) {
		w.trails = append(w.trails, broken("shop", name, condition, reason, "The bucket may not be used with the credentials in the Secret bucket.\nkind: Role\n", status))
	}
}

func waiting(w *world) {
	w.set.Status.ReadyReplicas = 0
	w.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}
}

func unschedulable(w *world) {
	w.set.Status.ReadyReplicas = 0
	w.pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable"}}
}

func older(w *world) {
	w.Objects = w.objects()
	for _, o := range w.Objects {
		if c, ok := o.(*apiextensionsv1.CustomResourceDefinition); ok && c.Spec.Names.Plural == "trails" {
			c.Spec.Versions[0].Schema.OpenAPIV3Schema.Description = "older"
		}
	}
}

func TestFindings(t *testing.T) {
	for name, tc := range harms {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.harm(w)
			bad, err := w.findings()
			found := false
			for _, f := range bad {
				text := f.Message
				if f.Subject != "" {
					text = f.Subject + ": " + text
				}
				if f.State == tc.state && f.Link == tc.link && strings.Contains(text, tc.want) && strings.Contains(f.Next, tc.next) {
					found = true
				}
				if strings.ContainsAny(f.Message+f.Next, "\n\x1b") || strings.Contains(f.Message, "planted") {
					t.Errorf("a line is %q → %q", f.Message, f.Next)
				}
				if (f.State == Problem || f.State == Warning) && f.Next == "" {
					t.Errorf("%q has no next step", f.Message)
				}
			}
			if !found {
				t.Errorf("want %s %s %q → %q in %q", tc.state, tc.link, tc.want, tc.next, bad)
			}
			want := 0
			if name == "failing kinds" {
				want = 2
			}
			if count(bad, Problem) > 0 {
				want = 1
			}
			if exit(err) != want {
				t.Errorf("exit code %d (%v), want %d", exit(err), err, want)
			}
		})
	}
}

// One thing that is wrong is no reason for lines about others.
func TestOneCauseOneProblem(t *testing.T) {
	for name, tc := range harms {
		if tc.state != Problem || name == "far behind" || name == "small policy" {
			continue
		}
		w := newWorld(t)
		tc.harm(w)
		bad, _ := w.findings()
		if n := count(bad, Problem); n > 1 && name != "no volume" && name != "not set up" {
			t.Errorf("%s: %d problems: %q", name, n, bad)
		}
	}
}

func TestNormalTrails(t *testing.T) {
	w := newWorld(t)
	suspended := broken("shop", "suspended", v1alpha1.ConditionReceiving, v1alpha1.ReasonSuspended, "", metav1.ConditionFalse)
	suspended.Spec.Suspend = true
	fresh := clitest.Trail("shop", "fresh")
	fresh.Status, fresh.CreationTimestamp = v1alpha1.TrailStatus{}, *clitest.Before(time.Minute)
	first := broken("shop", "first", v1alpha1.ConditionDigestsCurrent, v1alpha1.ReasonFirstDigestPending, "", metav1.ConditionUnknown)
	first.Status.Conditions[0].Status = metav1.ConditionTrue
	settle := broken("shop", "settle", v1alpha1.ConditionReceiving, v1alpha1.ReasonConfigurationSent, "", metav1.ConditionUnknown)
	for i := range settle.Status.Conditions {
		settle.Status.Conditions[i].LastTransitionTime = *clitest.Before(time.Minute)
	}
	going := clitest.Trail("shop", "going")
	going.Finalizers, going.DeletionTimestamp = []string{"x/y"}, clitest.Before(time.Minute)
	w.trails = append(w.trails, suspended, fresh, first, settle, going)
	bad, err := w.findings()
	if err != nil || len(bad) > 0 {
		t.Errorf("found %q, %v", bad, err)
	}
	if out, _, _ := w.run(); !strings.Contains(out, "7 trails, of which 1 suspended, 1 going, 2 settling\n") {
		t.Error(out)
	}
}

func TestManyTrails(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		trouble(fmt.Sprintf("t%02d", i), v1alpha1.ConditionBucketReady, v1alpha1.ReasonBucketNotFound, metav1.ConditionFalse)(w)
	}
	trouble("odd", v1alpha1.ConditionReceiving, v1alpha1.ReasonReceiverUnreachable, metav1.ConditionUnknown)(w)
	out, _, err := w.run()
	if err == nil || err.Error() != "30 problems were found; see their lines and the next step below each" {
		t.Errorf("got %v", err)
	}
	clitest.Golden(t, "many.txt", out)
}

func TestTroubled(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"other address", "never seen", "batch size", "bad bucket", "no proxy right", "not renewed", "ends", "forward fails"} {
		harms[name].harm(w)
	}
	out, _, err := w.run()
	if exit(err) != 1 {
		t.Errorf("got %v", err)
	}
	clitest.Golden(t, "troubled.txt", out)
}

// Whoever may read nothing is told what it takes, and that is no problem.
func TestLeastPrivilege(t *testing.T) {
	w := newWorld(t)
	w.Refuse = func(object any) error {
		switch object.(type) {
		case *v1alpha1.TrailList:
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "y", errors.New("raw"))
	}
	proxy(http.StatusForbidden, "raw")(w)
	out, _, err := w.run()
	if err != nil {
		t.Errorf("got %v", err)
	}
	clitest.Golden(t, "least.txt", out)
}

// The end of a certificate is known when the manager has gone silent, and who
// uses which is not.
func TestCertificatesOfAnOldReport(t *testing.T) {
	w := newWorld(t)
	harms["old report"].harm(w)
	harms["not placed"].harm(w)
	harms["forward dropped"].harm(w)
	w.end("trail-apiserver-cp-1", day, false)
	bad, _ := w.findings()
	if n := len(slices.DeleteFunc(bad, func(f Finding) bool { return f.Link != linkCertificates && f.Link != linkForwarding })); n != 1 {
		t.Errorf("%d findings of certificates: %q", n, bad)
	}
}

// A certificate that was replaced long ago, and a namespace of one's own.
func TestCertificates(t *testing.T) {
	w := newWorld(t)
	old := used(clitest.Now, "02", "00")
	old[1].LastPost = clitest.Now.Add(-settles)
	w.report.Receiver.Sources[1].Certificates = old
	delete(w.certs.Data, manifests.CertificatesAPIServer+"cp-1") // a manager that does not tell
	w.end(manifests.IntakeCAName, 90*day, false)
	w.end(manifests.ServerCertName, 30*day, false) // it is renewed now
	if bad, err := w.findings(); err != nil || len(bad) > 0 {
		t.Errorf("found %q, %v", bad, err)
	}
	d := &doctor{namespace: "audit"}
	if got := d.webhookConfig("--rotate-ca"); got != "kubectl trail webhook-config --operator-namespace audit --rotate-ca" {
		t.Error(got)
	}
}

func TestCertificatesThatMayNotBeRead(t *testing.T) {
	w := newWorld(t)
	maps := 0
	w.Refuse = func(object any) error {
		if _, ok := object.(*corev1.ConfigMap); ok {
			if maps++; maps == 3 { // after those that several links need
				return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", errors.New("raw"))
			}
		}
		return nil
	}
	bad, err := w.findings()
	if err != nil || len(bad) != 1 || bad[0].State != Unchecked || bad[0].Subject != manifests.CertificatesName {
		t.Errorf("found %q, %v", bad, err)
	}
}

// No Secret is read: there are keys in them.
func TestNoSecretIsRead(t *testing.T) {
	w := newWorld(t)
	w.Refuse = func(object any) error {
		switch object.(type) {
		case *corev1.Secret, *corev1.SecretList:
			t.Errorf("a %T is read", object)
		}
		return nil
	}
	if bad, err := w.findings(); err != nil || len(bad) > 0 {
		t.Errorf("found %q, %v", bad, err)
	}
}

// A second receiver that takes everything has its line, and none is none.
func TestForwarding(t *testing.T) {
	w := newWorld(t)
	w.report.Receiver.Forward = &manifests.ReceiverStateForward{Sent: 1204, Waiting: 1, WaitingBytes: 4096}
	out, _, err := w.run()
	const want = "ok         forwarding      the second receiver takes what arrives; POSTs since the receiver was started 2d2h ago: 1204 sent, 1 waiting (4.0 KiB), 0 dropped\n"
	if err != nil || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A tenant sees the trails of the namespace.
func TestTenant(t *testing.T) {
	w := newWorld(t)
	w.trails = append(w.trails, clitest.Trail("bank", "audit"))
	everywhere := true
	w.Refuse = func(object any) error {
		if _, ok := object.(*v1alpha1.TrailList); ok && everywhere {
			everywhere = false // the first is for all namespaces
			return apierrors.NewForbidden(schema.GroupResource{Resource: "trails"}, "", errors.New("raw"))
		}
		return nil
	}
	out, _, err := w.run()
	if err != nil || !strings.Contains(out, `needs list on trails.trail-operator.io in all namespaces; only those in namespace "shop" were looked at`) ||
		!strings.Contains(out, "2 trails\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The alert that refuses a stranger may be overtaken by the end of the connection.
func TestRefusedStranger(t *testing.T) {
	for _, body := range []string{
		"error trying to reach service: remote error: tls: certificate required",
		"error trying to reach service: read tcp 10.0.0.1:1->10.0.0.2:8443: read: connection reset by peer",
		"error trying to reach service: EOF",
	} {
		w := newWorld(t)
		proxy(http.StatusServiceUnavailable, body)(w)
		if bad, err := w.findings(); err != nil || len(bad) > 0 {
			t.Errorf("%s: found %q, %v", body, bad, err)
		}
	}
}

func TestOtherReceiver(t *testing.T) {
	w := newWorld(t)
	delete(w.installed.Data, manifests.InstallationClusterIP)
	w.absent = []string{"StatefulSet/trail-receiver", "Service/trail-receiver", "Pod/trail-receiver-0"}
	bad, err := w.findings()
	if err != nil || len(bad) != 1 || bad[0].Link != linkWebhook || bad[0].State != Unchecked {
		t.Errorf("found %q, %v", bad, err)
	}
}

func TestNotCarriedOut(t *testing.T) {
	for name, tc := range map[string]struct {
		harm func(*world)
		args []string
		want string
	}{
		"no cluster":   {func(w *world) { w.Down = errors.New("no cluster") }, nil, "no cluster"},
		"no answer":    {func(w *world) { w.Fail = errors.New("no answer") }, nil, "no answer"},
		"credentials":  {func(w *world) { w.Answers["/version"] = kube.Answer{Status: 401} }, nil, "log in again"},
		"etcd is away": {func(w *world) { w.Refuse = func(any) error { return apierrors.NewTimeoutError("raw", 1) } }, nil, "did not answer in time"},
		"argument":     {func(*world) {}, []string{"x"}, "doctor takes no arguments"},
		"format":       {func(*world) {}, []string{"-o", "yaml"}, `"yaml" is not known; use json`},
		"namespace":    {func(*world) {}, []string{"--operator-namespace", "A"}, "is not the name of a namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.harm(w)
			_, _, err := w.run(tc.args...)
			if exit(err) != 2 || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "raw") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
