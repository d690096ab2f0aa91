{{/* The labels of a part, such as web: its selector, and what it is of. */}}
{{- define "llm-manager.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "llm-manager.labels" -}}
{{ include "llm-manager.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The name of a part: the release's, and its own. */}}
{{- define "llm-manager.name" -}}
{{ printf "%s-%s" (.root.Release.Name | trunc 50 | trimSuffix "-") .part }}
{{- end }}

{{- define "llm-manager.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What every pod of ours may do: nothing but its work. */}}
{{- define "llm-manager.pod" -}}
automountServiceAccountToken: false
# Else the names of Services become variables, and LLM_MANAGER_WEB_PORT is no key of ours.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "llm-manager.container" -}}
image: {{ include "llm-manager.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The configuration, from the environment: keys of values.config, and what the chart knows. */}}
{{- define "llm-manager.environment" -}}
- name: DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: DATABASE_URL}}
- name: LLM_MANAGER_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: LLM_MANAGER_SECRET_KEY}}
- name: REDIS_URL
{{- if .Values.redis.enabled }}
  value: redis://{{ include "llm-manager.name" (dict "root" . "part" "redis") }}:6379/0
{{- else }}
  valueFrom: {secretKeyRef: {name: {{ .Values.secret }}, key: REDIS_URL}}
{{- end }}
- name: LLM_MANAGER_MODELS_DIR
  value: /models
{{- $known := dict
  "server.allowed_hosts" (list .Values.host (include "llm-manager.name" (dict "root" . "part" "web")))
  "server.csrf_trusted_origins" (printf "https://%s" .Values.host)
  "server.trusted_proxies" (ternary 1 0 .Values.ingress.enabled)
  "https.secure_cookies" .Values.ingress.enabled
  "nodes.pull_models" .Values.nodes.pullModels
  "nodes.pull_mb_per_s" .Values.nodes.pullMbPerSecond
  "engine.drain_timeout" .Values.drainSeconds }}
{{- range $key, $value := merge (deepCopy .Values.config) $known }}
- name: LLM_MANAGER_{{ $key | replace "." "_" | upper }}
  value: {{ kindIs "slice" $value | ternary (join "," $value) ($value | toString) | quote }}
{{- end }}
{{- end }}

{{/* The volumes that all pods see. */}}
{{- define "llm-manager.shared" -}}
data: {{- toYaml .Values.data | nindent 2 }}
{{- if not .Values.models.perEngine }}
models: {{- omit .Values.models "perEngine" | toYaml | nindent 2 }}
{{- end }}
{{- end }}

{{- define "llm-manager.volumes" -}}
- name: tmp
  emptyDir: {}
{{- range $name, $volume := include "llm-manager.shared" . | fromYaml }}
- name: {{ $name }}
  persistentVolumeClaim:
    claimName: {{ $volume.existingClaim | default (include "llm-manager.name" (dict "root" $ "part" $name)) }}
{{- end }}
{{- end }}

{{- define "llm-manager.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: data, mountPath: /data}
- {name: models, mountPath: /models}
{{- end }}
