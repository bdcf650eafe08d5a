package main

const (
	maxPort = 65535
	// names of Kubernetes objects, also with dots.
	dnsName = `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// labelValue and what follows are those of Kubernetes.
	labelValue = `^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`
	// ourLabels are set by chart and manager.
	ourLabels = `^(app\.kubernetes\.io|trail-operator\.io|helm\.sh)/`
	hostPort  = `^(.+:[0-9]{1,5})?$`
	region    = `[a-z0-9]+(-[a-z0-9]+)*`
	duration  = `^([0-9]+(ms|s|m|h))*$`
)

// rules are what the type of a value does not say, by path: "[]" is any entry
// of a list or a map. They refuse early what the manager or the API server
// would refuse later.
var rules = map[string]schema{
	"region":             {"pattern": `^(` + region + `)?$`, "maxLength": 63},
	"account":            {"pattern": `^([0-9]{12})?$`},
	"organization":       {"pattern": `^(o-[a-z0-9]{10,32})?$`},
	"trailsPerNamespace": {"minimum": 1, "maximum": 100},
	"allowedAddresses":   {"maxItems": 1000},
	"trustedProxies":     {"maxItems": 1000},
	"trustedProxies[]":   {"pattern": `^[0-9A-Fa-f.:]+/[0-9]{1,3}$`},

	"tenantDestinations":             {"maxItems": 1000},
	"tenantDestinations[].namespace": {"pattern": `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`, "maxLength": 63},
	"tenantDestinations[].endpoint":  {"pattern": `^(https?://[^/]+)?$`},
	"tenantDestinations[].region":    {"pattern": `^` + region + `$`, "maxLength": 63},
	"tenantDestinations[].bucket":    {"pattern": `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`},
	"tenantDestinations[].prefix":    {"pattern": `^[A-Za-z0-9_=-][A-Za-z0-9._=/-]*$`, "maxLength": 200},

	"tenantDestinations[].maxObjectLockDays": {"minimum": 0, "maximum": 36500},
	"tenantDestinations[].kmsKeyID":          {"pattern": `^[A-Za-z0-9_:/.@+=,-]*$`, "maxLength": 2048},

	"intake.forwardTo.url":               {"pattern": `^(https?://[^/@#]+(/[^#]*)?)?$`, "maxLength": 2000},
	"intake.forwardTo.credentialsSecret": {"pattern": `^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$`},
	"intake.forwardTo.timeoutSeconds":    {"minimum": 0, "maximum": 300},
	"intake.forwardTo.queueBytes":        {"minimum": 0},

	"validation.concurrency":     {"minimum": 1, "maximum": 100},
	"validation.deadlineSeconds": {"minimum": 60, "maximum": 86400},
	"validation.nodeSelector[]":  {"pattern": labelValue},

	"receiver.apiServers":       {"minItems": 1, "maxItems": 100, "uniqueItems": true},
	"receiver.apiServers[]":     {"pattern": dnsName, "maxLength": 63},
	"receiver.address":          {"pattern": hostPort},
	"receiver.apiServerAddress": {"pattern": hostPort},
	"receiver.names":            {"maxItems": 1000},

	"receiver.workload.reserveBytes":                {"minimum": 0},
	"receiver.workload.trailQuotaBytes":             {"minimum": 0},
	"receiver.workload.metricsPort":                 {"minimum": 1024, "maximum": maxPort, "not": schema{"const": 8443}},
	"receiver.workload.labels":                      {"propertyNames": schema{"not": schema{"pattern": ourLabels}}},
	"receiver.workload.labels[]":                    {"pattern": labelValue},
	"receiver.workload.service.type":                {"enum": []string{"ClusterIP", "NodePort", "LoadBalancer"}},
	"receiver.workload.service.clusterIP":           {"pattern": `^[0-9A-Fa-f.:]*$`},
	"receiver.workload.service.nodePort":            {"minimum": 0, "maximum": maxPort},
	"receiver.workload.networkPolicy.egressPorts[]": {"minimum": 1, "maximum": maxPort},
	"receiver.workload.serviceMonitor.interval":     {"pattern": duration},
	"receiver.workload.serviceMonitor.labels[]":     {"pattern": labelValue},

	"tail.auditLog":             {"pattern": `^/[^/]+/.*[^/]$`},
	"tail.stateDir":             {"pattern": `^/[^/].*$`},
	"tail.metricsPort":          {"minimum": 1024, "maximum": maxPort},
	"tail.labels":               {"propertyNames": schema{"not": schema{"pattern": ourLabels}}},
	"tail.labels[]":             {"pattern": labelValue},
	"tail.nodeSelector[]":       {"pattern": labelValue},
	"tail.podMonitor.interval":  {"pattern": duration},
	"tail.podMonitor.labels[]":  {"pattern": labelValue},
	"image.recorder.repository": {"minLength": 1},
	"image.recorder.digest":     {"pattern": digest},
	"image.pullPolicy":          {"enum": []string{"Always", "IfNotPresent", "Never"}},
	"image.pullSecrets[]":       {"pattern": dnsName},
	"image.tag":                 {"pattern": `^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$`},
	"image.manager.repository":  {"minLength": 1},
	"image.manager.digest":      {"pattern": digest},
	"image.receiver.repository": {"minLength": 1},
	"image.receiver.digest":     {"pattern": digest},

	"manager.replicas":                       {"minimum": 1, "maximum": 2},
	"manager.labels":                         {"propertyNames": schema{"not": schema{"pattern": ourLabels}}},
	"manager.labels[]":                       {"pattern": labelValue},
	"manager.networkPolicy.apiServerPorts":   {"minItems": 1},
	"manager.networkPolicy.apiServerPorts[]": {"minimum": 1, "maximum": maxPort},

	"metrics.port":                    {"minimum": 1024, "maximum": maxPort, "not": schema{"const": 8081}},
	"metrics.serviceMonitor.interval": {"pattern": duration},
	"metrics.serviceMonitor.labels[]": {"pattern": labelValue},
	"metrics.prometheusRule.labels[]": {"pattern": labelValue},

	"commonLabels":   {"propertyNames": schema{"not": schema{"pattern": ourLabels}}},
	"commonLabels[]": {"pattern": labelValue},
}

const digest = `^(sha256:[0-9a-f]{64})?$`
