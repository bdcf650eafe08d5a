package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/cli/clitest"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	pathKinds = "/apis/trail-operator.io/v1alpha1"
	pathProxy = "/api/v1/namespaces/trail-operator-system/services/https:trail-receiver:8443/proxy/"
	clusterIP = "10.96.0.9"
)

// world is a cluster in which everything is well, until a test breaks it.
type world struct {
	*clitest.Cluster
	t *testing.T

	deployment appsv1.Deployment
	lease      coordinationv1.Lease
	installed  corev1.ConfigMap
	report     manifests.ReceiverReport
	written    time.Time // by the API server's clock
	set        appsv1.StatefulSet
	claim      corev1.PersistentVolumeClaim
	pod        corev1.Pod
	service    corev1.Service
	apiServers []corev1.Pod
	certs      corev1.ConfigMap
	trails     []client.Object
	absent     []string // names of objects that are not there
	local      time.Time
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: kube.OperatorNamespace, Name: name}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	now := clitest.Now
	w := &world{
		Cluster: &clitest.Cluster{Chosen: "shop"}, t: t, local: now, written: now.Add(-20 * time.Second),
		deployment: appsv1.Deployment{ObjectMeta: named(managerName)},
		lease: coordinationv1.Lease{ObjectMeta: named(manifests.LeaseName), Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("trail-manager-7d9f_1"), LeaseDurationSeconds: ptr.To[int32](15),
			RenewTime: &metav1.MicroTime{Time: now.Add(-2 * time.Second)},
		}},
		installed: corev1.ConfigMap{ObjectMeta: named(manifests.InstallationName), Data: map[string]string{
			manifests.InstallationAccount: "000000000042", manifests.InstallationClusterIP: clusterIP,
			manifests.InstallationReceiverURL: "https://" + clusterIP + ":8443",
		}},
		report: manifests.ReceiverReport{
			Time: now.Add(-20 * time.Second), APIServers: []string{"cp-1", "cp-2"},
			Certificates: []manifests.ReportedCertificate{
				{Secret: manifests.IntakeCAName, End: now.Add(2920 * day)},
				{Secret: manifests.ServerCertName, End: now.Add(60 * day)},
				{Secret: manifests.ManagerCertName, End: now.Add(60 * day)},
				{Secret: "trail-apiserver-cp-1", APIServer: "cp-1", End: now.Add(2920 * day)},
				{Secret: "trail-apiserver-cp-2", APIServer: "cp-2", End: now.Add(2920 * day)},
			},
			Receiver: &manifests.ReceiverState{Started: now.Add(-50 * time.Hour), Generation: 12, Sources: []manifests.ReceiverStateSource{
				{APIServer: "cp-1", LastPost: now.Add(-22 * time.Second), Certificates: used(now, "01")},
				{APIServer: "cp-2", LastPost: now.Add(-40 * time.Second), Certificates: used(now, "02")},
			}},
		},
		set:     appsv1.StatefulSet{ObjectMeta: named(manifests.ReceiverName)},
		claim:   corev1.PersistentVolumeClaim{ObjectMeta: named(manifests.ReceiverClaim)},
		pod:     corev1.Pod{ObjectMeta: named(receiverPod)},
		service: corev1.Service{ObjectMeta: named(manifests.ReceiverName)},
		certs: corev1.ConfigMap{ObjectMeta: named(manifests.CertificatesName), Data: map[string]string{
			manifests.CertificatesCA: "00", manifests.CertificatesAPIServer + "cp-1": "01", manifests.CertificatesAPIServer + "cp-2": "02",
		}},
		trails: []client.Object{clitest.OrganizationTrail("all"), clitest.Trail("shop", "audit")},
	}
	w.deployment.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}
	w.set.Status.ReadyReplicas = 1
	w.claim.Status.Phase = corev1.ClaimBound
	w.service.Spec.ClusterIP = clusterIP
	for i, name := range []string{"cp-1", "cp-2"} {
		w.apiServers = append(w.apiServers, apiServer(name, fmt.Sprint(i)))
	}
	w.Answers = map[string]kube.Answer{
		"/version": {Status: http.StatusOK},
		pathKinds:  served(resources...),
		pathProxy:  {Status: http.StatusBadGateway, Body: []byte("error trying to reach service: remote error: tls: certificate required")},
	}
	return w
}

func served(names ...string) kube.Answer {
	list := metav1.APIResourceList{}
	for _, name := range names {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: name}, metav1.APIResource{Name: name + "/status"})
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return kube.Answer{Status: http.StatusOK, Body: b}
}

// used are certificates in the order of their use, a minute apart.
func used(last time.Time, names ...string) (used []receiverstatus.SourceCertificate) {
	for i, name := range names {
		used = append(used, receiverstatus.SourceCertificate{SHA256: name, LastPost: last.Add(-time.Duration(i) * time.Minute)})
	}
	return used
}

// end sets when a certificate ends.
func (w *world) end(secret string, at time.Duration, replaced bool) {
	w.t.Helper()
	i := slices.IndexFunc(w.report.Certificates, func(c manifests.ReportedCertificate) bool { return c.Secret == secret })
	w.report.Certificates[i].End, w.report.Certificates[i].Replaced = clitest.Now.Add(at), replaced
}

// apiServer is a mirror pod as kubeadm's kubelet makes it.
func apiServer(node, _ string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "kube-system", Name: "kube-apiserver-" + node, Labels: map[string]string{"component": "kube-apiserver", "tier": "control-plane"},
	}}
	p.Spec.NodeName = node
	c := corev1.Container{Name: "kube-apiserver", Command: []string{"kube-apiserver"}, VolumeMounts: []corev1.VolumeMount{{Name: "audit", MountPath: "/etc/kubernetes/audit"}}}
	for _, f := range auditpolicy.Flags(auditpolicy.Files{Policy: "/etc/kubernetes/audit/policy.yaml", Kubeconfig: "/etc/kubernetes/audit/webhook.kubeconfig"}) {
		c.Command = append(c.Command, f.String())
	}
	p.Spec.Containers = []corev1.Container{c}
	p.Spec.Volumes = []corev1.Volume{{Name: "audit"}}
	return p
}

// flag replaces a flag of the first API server; an empty value removes it.
func (w *world) flag(name, value string) {
	c := &w.apiServers[0].Spec.Containers[0]
	c.Command = slices.DeleteFunc(c.Command, func(s string) bool { return len(s) > len(name)+3 && s[:len(name)+3] == "--"+name+"=" })
	if value != "" {
		c.Command = append(c.Command, "--"+name+"="+value)
	}
}

func (w *world) objects() []client.Object {
	w.t.Helper()
	published := &corev1.ConfigMap{ObjectMeta: named(manifests.ReceiverReportName), Data: map[string]string{"status.json": string(record.MustJSON(w.report))}}
	published.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: manifests.FieldOwner, Operation: metav1.ManagedFieldsOperationApply, Time: &metav1.Time{Time: w.written}, APIVersion: "v1",
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1("{}"),
	}}
	all := []client.Object{&w.deployment, &w.lease, &w.installed, published, &w.set, &w.claim, &w.pod, &w.service, &w.certs}
	for i := range w.apiServers {
		all = append(all, &w.apiServers[i])
	}
	for _, r := range resources {
		c, err := definition(r + ".trail-operator.io")
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, c)
	}
	all = append(all, w.trails...)
	return slices.DeleteFunc(all, func(o client.Object) bool { return slices.Contains(w.absent, kindOf(o)+o.GetName()) })
}

func kindOf(o client.Object) string {
	kinds, _, err := kube.Scheme.ObjectKinds(o)
	if err != nil {
		return ""
	}
	return kinds[0].Kind + "/"
}

func (w *world) run(args ...string) (stdout, stderr string, err error) {
	w.t.Helper()
	if w.Objects == nil {
		w.Objects = w.objects()
	}
	return clitest.Run(w.t, func(s genericiooptions.IOStreams) *cobra.Command {
		return NewCommand(w.Cluster, s, clocktesting.NewFakePassiveClock(w.local))
	}, args...)
}

// findings are those with -o json that are not fine.
func (w *world) findings() (bad []Finding, err error) {
	w.t.Helper()
	out, _, err := w.run("-o", "json")
	var r report
	if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
		w.t.Fatalf("%v: %q (%v)", jsonErr, out, err)
	}
	if r.OK != (count(r.Findings, Problem) == 0) {
		w.t.Error("ok contradicts the findings")
	}
	return slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.State == OK }), err
}
