{{- /* Labels of a pod: (dict "root" $ "component" "manager" "labels" more). They do
not change with the version, which would restart it. */ -}}
{{- define "trail-operator.podLabels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (printf "trail-%s" .component)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component
  "app.kubernetes.io/part-of" "trail-operator"
  "app.kubernetes.io/managed-by" .root.Release.Service
-}}
{{- toYaml (merge $own (default dict .labels) .root.Values.commonLabels) -}}
{{- end -}}

{{- /* Labels of any other object, with the same arguments. */ -}}
{{- define "trail-operator.labels" -}}
{{ include "trail-operator.podLabels" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | trimSuffix "-" | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- /* An image: (dict "root" $ "image" .Values.image.manager). */ -}}
{{- define "trail-operator.image" -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- /* The manager's configuration file: all values but those of the chart's own,
and what follows from these. The manager refuses fields that it does not know. */ -}}
{{- define "trail-operator.config" -}}
{{- $region := required "region is required: where the cluster runs, such as eu-central-1. It stands in every object key, so choose it once (--set region=...)" .Values.region -}}
{{- $config := omit (deepCopy .Values) "commonLabels" "crds" "global" "image" "manager" "metrics" "rbac" "tail" -}}
{{- $config = merge $config (dict
  "apiVersion" "config.trail-operator.io/v1alpha1"
  "kind" "ManagerConfig"
  "namespace" .Release.Namespace
  "leaderElection" true) -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $config "metricsBindAddress" (printf ":%d" (int .Values.metrics.port)) -}}
{{- end -}}
{{- if .Values.tail.enabled -}}
{{- $_ := set $config.intake "tail" (dict "enabled" true) -}}
{{- end -}}
{{- if $config.receiver.workload -}}
{{- $workload := $config.receiver.workload -}}
{{- $_ := set $workload "image" (include "trail-operator.image" (dict "root" . "image" .Values.image.receiver)) -}}
{{- $_ := set $workload "imagePullPolicy" .Values.image.pullPolicy -}}
{{- $_ := set $workload "imagePullSecrets" .Values.image.pullSecrets -}}
{{- $_ := set $workload "labels" (merge (dict) $workload.labels .Values.commonLabels) -}}
{{- else -}}
{{- $_ := set $config.validation "image" (include "trail-operator.image" (dict "root" . "image" .Values.image.receiver)) -}}
{{- $_ := set $config.validation "imagePullPolicy" .Values.image.pullPolicy -}}
{{- $_ := set $config.validation "imagePullSecrets" .Values.image.pullSecrets -}}
{{- end -}}
{{- include "trail-operator.prune" $config -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* Removes empty lists and maps from a part of the configuration: to the manager
they are the same as left out, but for resources, where none is not the default. */ -}}
{{- define "trail-operator.prune" -}}
{{- range $key, $value := omit . "resources" -}}
{{- if and (kindIs "map" $value) (ne $key "affinity") }}{{ include "trail-operator.prune" $value }}{{ end -}}
{{- if and (empty $value) (or (kindIs "invalid" $value) (kindIs "map" $value) (kindIs "slice" $value)) }}{{ $_ := unset $ $key }}{{ end -}}
{{- end -}}
{{- end -}}
