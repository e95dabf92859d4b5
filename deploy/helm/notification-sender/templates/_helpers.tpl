{{- define "notification-sender.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "notification-sender.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "notification-sender.labels" -}}
{{ include "notification-sender.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "notification-sender.metadata" -}}
name: {{ include "notification-sender.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "notification-sender.labels" . | nindent 2 }}
{{- end }}

{{- define "notification-sender.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* How many pods there may be: what `check --pods` compares with the budgets of the APIs. */}}
{{- define "notification-sender.pods" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{/* Both containers of a pod see the same settings and the same files: `check` checks what `run` runs with. */}}
{{- define "notification-sender.container" -}}
image: {{ include "notification-sender.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
envFrom:
  - configMapRef:
      name: {{ include "notification-sender.name" . }}
env:
  {{- range $setting, $key := .Values.credentials.keys }}
  {{- if $key }}
  - name: {{ $setting }}_FILE
    value: /run/credentials/{{ $key }}
  {{- end }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: credentials
    mountPath: /run/credentials
    readOnly: true
  - name: temporary
    mountPath: /tmp
  {{- range $organization, $_ := .Values.signingSecrets }}
  - name: signing-{{ sha256sum $organization | trunc 12 }}
    mountPath: {{ printf "/run/signing/%s" $organization | quote }}
    readOnly: true
  {{- end }}
  {{- if .Values.certificateAuthorities }}
  - name: certificate-authorities
    mountPath: /run/certificate-authorities
    readOnly: true
  {{- end }}
  {{- if .Values.templates }}
  - name: templates
    mountPath: /run/templates
    readOnly: true
  {{- end }}
{{- end }}
