package mapping

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/auditevent"
)

func TestCalls(t *testing.T) {
	const (
		read  = 1 << iota // read-only
		write             // not read-only
		data              // data event
	)
	for _, c := range []struct {
		verb, group, resource, subresource string
		name, source, kind                 string
		flags                              int
	}{
		{"get", "", "pods", "", "GetPod", "core.k8s.io", "K8S::core::Pod", read},
		{"list", "", "pods", "", "ListPods", "core.k8s.io", "K8S::core::Pod", read},
		{"watch", "", "pods", "", "WatchPods", "core.k8s.io", "K8S::core::Pod", read},
		{"create", "", "pods", "", "CreatePod", "core.k8s.io", "K8S::core::Pod", write},
		{"update", "", "pods", "", "UpdatePod", "core.k8s.io", "K8S::core::Pod", write},
		{"patch", "", "pods", "", "PatchPod", "core.k8s.io", "K8S::core::Pod", write},
		{"delete", "", "pods", "", "DeletePod", "core.k8s.io", "K8S::core::Pod", write},
		{"deletecollection", "", "pods", "", "DeletePods", "core.k8s.io", "K8S::core::Pod", write},
		{"get", "", "pods", "exec", "ExecPod", "core.k8s.io", "K8S::core::Pod", write},
		{"create", "", "pods", "exec", "ExecPod", "core.k8s.io", "K8S::core::Pod", write},
		{"get", "", "pods", "attach", "AttachPod", "core.k8s.io", "K8S::core::Pod", write},
		{"create", "", "pods", "attach", "AttachPod", "core.k8s.io", "K8S::core::Pod", write},
		{"get", "", "pods", "portforward", "PortForwardPod", "core.k8s.io", "K8S::core::Pod", write | data},
		{"create", "", "pods", "portforward", "PortForwardPod", "core.k8s.io", "K8S::core::Pod", write | data},
		{"get", "", "pods", "log", "GetPodLog", "core.k8s.io", "K8S::core::Pod", read | data},
		{"create", "", "pods", "eviction", "EvictPod", "core.k8s.io", "K8S::core::Pod", write},
		{"create", "", "pods", "binding", "BindPod", "core.k8s.io", "K8S::core::Pod", write},
		{"patch", "", "pods", "status", "PatchPodStatus", "core.k8s.io", "K8S::core::Pod", write},
		{"get", "", "pods", "status", "GetPodStatus", "core.k8s.io", "K8S::core::Pod", read},
		{"patch", "", "pods", "ephemeralcontainers", "PatchPodEphemeralContainers", "core.k8s.io", "K8S::core::Pod", write},
		{"update", "", "pods", "ephemeralcontainers", "UpdatePodEphemeralContainers", "core.k8s.io", "K8S::core::Pod", write},
		{"patch", "", "pods", "resize", "PatchPodResize", "core.k8s.io", "K8S::core::Pod", write},
		{"get", "", "pods", "proxy", "GetPodProxy", "core.k8s.io", "K8S::core::Pod", read | data},
		{"create", "", "pods", "proxy", "CreatePodProxy", "core.k8s.io", "K8S::core::Pod", write | data},
		{"get", "", "services", "proxy", "GetServiceProxy", "core.k8s.io", "K8S::core::Service", read | data},
		{"delete", "", "services", "proxy", "DeleteServiceProxy", "core.k8s.io", "K8S::core::Service", write | data},
		{"get", "", "nodes", "proxy", "GetNodeProxy", "core.k8s.io", "K8S::core::Node", read | data},
		{"get", "", "secrets", "", "GetSecret", "core.k8s.io", "K8S::core::Secret", read},
		{"list", "", "secrets", "", "ListSecrets", "core.k8s.io", "K8S::core::Secret", read},
		{"list", "", "endpoints", "", "ListEndpoints", "core.k8s.io", "K8S::core::Endpoints", read},
		{"get", "", "endpoints", "", "GetEndpoints", "core.k8s.io", "K8S::core::Endpoints", read},
		{"list", "", "componentstatuses", "", "ListComponentStatuses", "core.k8s.io", "K8S::core::ComponentStatus", read},
		{"create", "", "bindings", "", "CreateBinding", "core.k8s.io", "K8S::core::Binding", write},
		{"create", "", "serviceaccounts", "token", "CreateServiceAccountToken", "core.k8s.io", "K8S::core::ServiceAccount", write},
		{"update", "", "namespaces", "finalize", "UpdateNamespaceFinalize", "core.k8s.io", "K8S::core::Namespace", write},
		{"delete", "", "namespaces", "", "DeleteNamespace", "core.k8s.io", "K8S::core::Namespace", write},
		{"list", "", "persistentvolumeclaims", "", "ListPersistentVolumeClaims", "core.k8s.io", "K8S::core::PersistentVolumeClaim", read},
		{"update", "", "replicationcontrollers", "scale", "UpdateReplicationControllerScale", "core.k8s.io", "K8S::core::ReplicationController", write},
		{"patch", "apps", "deployments", "", "PatchDeployment", "apps.k8s.io", "K8S::apps::Deployment", write},
		{"update", "apps", "deployments", "scale", "UpdateDeploymentScale", "apps.k8s.io", "K8S::apps::Deployment", write},
		{"deletecollection", "apps", "replicasets", "", "DeleteReplicaSets", "apps.k8s.io", "K8S::apps::ReplicaSet", write},
		{"get", "apps", "statefulsets", "", "GetStatefulSet", "apps.k8s.io", "K8S::apps::StatefulSet", read},
		{"list", "apps", "controllerrevisions", "", "ListControllerRevisions", "apps.k8s.io", "K8S::apps::ControllerRevision", read},
		{"create", "batch", "cronjobs", "", "CreateCronJob", "batch.k8s.io", "K8S::batch::CronJob", write},
		{"update", "autoscaling", "horizontalpodautoscalers", "status", "UpdateHorizontalPodAutoscalerStatus", "autoscaling.k8s.io", "K8S::autoscaling::HorizontalPodAutoscaler", write},
		{"list", "policy", "poddisruptionbudgets", "", "ListPodDisruptionBudgets", "policy.k8s.io", "K8S::policy::PodDisruptionBudget", read},
		{"list", "networking.k8s.io", "networkpolicies", "", "ListNetworkPolicies", "networking.k8s.io", "K8S::networking.k8s.io::NetworkPolicy", read},
		{"list", "networking.k8s.io", "ingresses", "", "ListIngresses", "networking.k8s.io", "K8S::networking.k8s.io::Ingress", read},
		{"watch", "networking.k8s.io", "ingressclasses", "", "WatchIngressClasses", "networking.k8s.io", "K8S::networking.k8s.io::IngressClass", read},
		{"create", "networking.k8s.io", "ipaddresses", "", "CreateIPAddress", "networking.k8s.io", "K8S::networking.k8s.io::IPAddress", write},
		{"list", "networking.k8s.io", "ipaddresses", "", "ListIPAddresses", "networking.k8s.io", "K8S::networking.k8s.io::IPAddress", read},
		{"list", "networking.k8s.io", "servicecidrs", "", "ListServiceCIDRs", "networking.k8s.io", "K8S::networking.k8s.io::ServiceCIDR", read},
		{"list", "storage.k8s.io", "csistoragecapacities", "", "ListCSIStorageCapacities", "storage.k8s.io", "K8S::storage.k8s.io::CSIStorageCapacity", read},
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings", "", "CreateClusterRoleBinding", "rbac.authorization.k8s.io", "K8S::rbac.authorization.k8s.io::ClusterRoleBinding", write},
		{"update", "certificates.k8s.io", "certificatesigningrequests", "approval", "UpdateCertificateSigningRequestApproval", "certificates.k8s.io", "K8S::certificates.k8s.io::CertificateSigningRequest", write},
		{"list", "discovery.k8s.io", "endpointslices", "", "ListEndpointSlices", "discovery.k8s.io", "K8S::discovery.k8s.io::EndpointSlice", read},
		{"update", "coordination.k8s.io", "leases", "", "UpdateLease", "coordination.k8s.io", "K8S::coordination.k8s.io::Lease", write},
		{"create", "apiextensions.k8s.io", "customresourcedefinitions", "", "CreateCustomResourceDefinition", "apiextensions.k8s.io", "K8S::apiextensions.k8s.io::CustomResourceDefinition", write},
		{"patch", "apiregistration.k8s.io", "apiservices", "status", "PatchAPIServiceStatus", "apiregistration.k8s.io", "K8S::apiregistration.k8s.io::APIService", write},
		{"list", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", "ListValidatingAdmissionPolicies", "admissionregistration.k8s.io", "K8S::admissionregistration.k8s.io::ValidatingAdmissionPolicy", read},
		{"list", "flowcontrol.apiserver.k8s.io", "flowschemas", "", "ListFlowSchemas", "flowcontrol.apiserver.k8s.io", "K8S::flowcontrol.apiserver.k8s.io::FlowSchema", read},
		{"list", "resource.k8s.io", "resourceslices", "", "ListResourceSlices", "resource.k8s.io", "K8S::resource.k8s.io::ResourceSlice", read},
		{"create", "authorization.k8s.io", "selfsubjectaccessreviews", "", "CreateSelfSubjectAccessReview", "authorization.k8s.io", "K8S::authorization.k8s.io::SelfSubjectAccessReview", read},
		{"create", "authorization.k8s.io", "localsubjectaccessreviews", "", "CreateLocalSubjectAccessReview", "authorization.k8s.io", "K8S::authorization.k8s.io::LocalSubjectAccessReview", read},
		{"create", "authorization.k8s.io", "selfsubjectrulesreviews", "", "CreateSelfSubjectRulesReview", "authorization.k8s.io", "K8S::authorization.k8s.io::SelfSubjectRulesReview", read},
		{"create", "authentication.k8s.io", "tokenreviews", "", "CreateTokenReview", "authentication.k8s.io", "K8S::authentication.k8s.io::TokenReview", read},
		{"create", "authentication.k8s.io", "selfsubjectreviews", "", "CreateSelfSubjectReview", "authentication.k8s.io", "K8S::authentication.k8s.io::SelfSubjectReview", read},
		// of the configuration's snapshot, and of nobody
		{"create", "example.com", "widgets", "", "CreateWidget", "example.com", "K8S::example.com::Widget", write},
		{"list", "example.com", "widgets", "", "ListWidgets", "example.com", "K8S::example.com::Widget", read},
		{"patch", "example.com", "widgets", "status", "PatchWidgetStatus", "example.com", "K8S::example.com::Widget", write},
		{"list", "metrics.k8s.io", "pods", "", "ListPods", "metrics.k8s.io", "K8S::metrics.k8s.io::PodMetrics", read},
		{"get", "example.com", "pods", "exec", "GetPodsExec", "example.com", "K8S::example.com::Pods", read},
		{"create", "example.com", "reviews", "", "CreateReviews", "example.com", "K8S::example.com::Reviews", write},
		{"create", "acme", "gadgets", "", "CreateGadgets", "acme.k8s.io", "K8S::acme::Gadgets", write},
		{"list", "acme", "gadgets", "", "ListGadgets", "acme.k8s.io", "K8S::acme::Gadgets", read},
		{"get", "subresources.kubevirt.io", "virtualmachineinstances", "vnc", "GetVirtualmachineinstancesVnc", "subresources.kubevirt.io", "K8S::subresources.kubevirt.io::Virtualmachineinstances", read},
		{"create", "x.io", "my-things.v2", "do_it", "CreateMyThingsV2Do_it", "x.io", "K8S::x.io::MyThingsV2", write},
		{"", "", "pods", "", "UnknownPod", "core.k8s.io", "K8S::core::Pod", write},
		{"create", "x.io", "çé", "", "CreateUnknown", "x.io", "K8S::x.io::Unknown", write},
		// not about resources
		{"get", "", "", "", "GetNonResourceURL", "apiserver.k8s.io", "", read},
		{"head", "", "", "", "HeadNonResourceURL", "apiserver.k8s.io", "", read},
		{"post", "", "", "", "PostNonResourceURL", "apiserver.k8s.io", "", write},
		{"delete", "", "", "", "DeleteNonResourceURL", "apiserver.k8s.io", "", write},
	} {
		t.Run(c.verb+" "+c.group+"/"+c.resource+"/"+c.subresource, func(t *testing.T) {
			e := &auditevent.Event{Verb: c.verb}
			if c.resource != "" {
				e.HasObjectRef = true
				e.ObjectRef = auditevent.ObjectRef{APIGroup: c.group, Resource: c.resource, Subresource: c.subresource}
			}
			m := newMapper(t)
			for range 2 { // the second time from the cache
				got := m.call(e)
				if got.eventName != c.name || got.eventSource != c.source || got.resourceType != c.kind {
					t.Errorf("got %s, %s, %s; want %s, %s, %s", got.eventName, got.eventSource, got.resourceType, c.name, c.source, c.kind)
				}
				if got.readOnly != (c.flags&read != 0) || got.readOnly == (c.flags&write != 0) {
					t.Errorf("readOnly is %v", got.readOnly)
				}
				if got.data != (c.flags&data != 0) {
					t.Errorf("data is %v", got.data)
				}
			}
		})
	}
}

// TestNamesOfBuiltinKinds: each kind can be told from its plural, and both keep
// to the letters that readers allow.
func TestNamesOfBuiltinKinds(t *testing.T) {
	if len(builtinKinds) < 70 {
		t.Fatalf("only %d kinds", len(builtinKinds))
	}
	allowed := regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	for r, kind := range builtinKinds {
		many := plural(kind, r.resource)
		if !strings.EqualFold(many, r.resource) || !allowed.MatchString(many) || !allowed.MatchString(kind) {
			t.Errorf("%v: kind %s, plural %s", r, kind, many)
		}
	}
}

// TestCallsAreBounded: clients that ask for what does not exist fill no memory
// and leave names readable.
func TestCallsAreBounded(t *testing.T) {
	m := newMapper(t)
	allowed := regexp.MustCompile(`^[A-Za-z0-9_]{1,400}$`)
	for i := range 4 * maxCalls {
		e := &auditevent.Event{Verb: "get", HasObjectRef: true, ObjectRef: auditevent.ObjectRef{
			APIGroup: "x.io", Resource: "r" + strconv.Itoa(i), Subresource: string(rune(i)),
		}}
		if i%2 == 0 {
			e.ObjectRef.APIGroup, e.ObjectRef.Resource = strings.Repeat("g", i%600), strings.Repeat("r", i%5000)+"/"
			e.ObjectRef.Subresource += strings.Repeat("s", i%300)
		}
		c := m.call(e)
		if !allowed.MatchString(c.eventName) || len(c.eventSource) > maxGroup+len(".k8s.io") {
			t.Fatalf("eventName %q, eventSource %q", c.eventName, c.eventSource)
		}
	}
	if len(m.calls) > maxCalls {
		t.Errorf("%d calls are kept", len(m.calls))
	}
}

// TestNodeProxy: a GET through a node's proxy can run commands.
func TestNodeProxy(t *testing.T) {
	for path, readOnly := range map[string]bool{
		"/api/v1/nodes/n/proxy/metrics":                      true,
		"/api/v1/nodes/n/proxy/logs/exec/":                   true,
		"/api/v1/nodes/n/proxy":                              true,
		"/api/v1/nodes/n/proxy/exec/ns/pod/c?command=id":     false,
		"/api/v1/nodes/n/proxy/run/ns/pod/c":                 false,
		"/api/v1/nodes/n/proxy/attach/ns/pod/c":              false,
		"/api/v1/nodes/n/proxy/portForward/ns/pod":           false,
		"/api/v1/nodes/n/proxy//exec/ns/pod/c":               false,
		"/api/v1/nodes/n/proxy/%65xec/ns/pod/c":              false,
		"/api/v1/nodes/n/proxy/%2Fexec/ns/pod/c":             false,
		"/api/v1/nodes/proxy/proxy/exec/ns/pod/c?command=id": false,
	} {
		r := ref("", "nodes", "proxy")
		delete(r, "namespace")
		_, f := mapped(t, event(t, map[string]any{"verb": "get", "objectRef": r, "requestURI": path}))
		if f.ReadOnly != readOnly {
			t.Errorf("%s: readOnly is %v", path, f.ReadOnly)
		}
	}
}
