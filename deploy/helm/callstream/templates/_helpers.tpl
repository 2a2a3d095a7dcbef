{{- define "callstream.fullname" -}}
{{- if contains "callstream" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-callstream" .Release.Name }}{{ end -}}
{{- end }}

{{- define "callstream.labels" -}}
app.kubernetes.io/name: callstream
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "callstream.selector" -}}
app.kubernetes.io/name: callstream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "callstream.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}

{{- define "callstream.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "callstream.fullname" .) }}
{{- end }}

{{- define "callstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "callstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "callstream.env" -}}
- {name: CALLSTREAM_CONFIG, value: /etc/callstream/callstream.toml}
- {name: CALLSTREAM_SECRETS_DIR, value: /run/secrets/callstream}
- {name: CALLSTREAM_DATA_DIR, value: /var/lib/callstream}
- {name: CALLSTREAM_CACHE_DIR, value: /var/cache/callstream}
- {name: HOME, value: /var/cache/callstream}
{{- if .Values.trust.configMap }}
- {name: SSL_CERT_FILE, value: /etc/callstream/trust/ca.pem}
{{- end }}
{{- end }}

{{- define "callstream.mounts" -}}
- {name: settings, mountPath: /etc/callstream/callstream.toml, subPath: callstream.toml, readOnly: true}
- {name: settings, mountPath: /etc/callstream/files, readOnly: true}
- {name: secrets, mountPath: /run/secrets/callstream, readOnly: true}
- {name: private, mountPath: /etc/callstream/private, readOnly: true}
{{- if .Values.trust.configMap }}
- {name: trust, mountPath: /etc/callstream/trust, readOnly: true}
{{- end }}
- {name: data, mountPath: /var/lib/callstream}
- {name: cache, mountPath: /var/cache/callstream}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* Of a stage: root, settings (the name of the ConfigMap), owner (of the Secrets). */}}
{{- define "callstream.volumes" -}}
- name: settings
  configMap: {name: {{ .settings }}}
- name: secrets
  secret: {secretName: {{ printf "%s-%s" .root.Values.secrets.prefix .owner }}, defaultMode: 0440}
# Files that settings name: certificates, keys, tokens. None is needed where no setting names one.
- name: private
  secret: {secretName: {{ printf "%s-%s-files" .root.Values.secrets.prefix .owner }}, defaultMode: 0440, optional: true}
{{- if .root.Values.trust.configMap }}
- name: trust
  configMap: {name: {{ .root.Values.trust.configMap }}}
{{- end }}
- name: cache
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- end }}

{{- define "callstream.settingsFile" -}}
callstream.toml: |
{{ toToml .Values.settings | indent 2 }}
{{- range $name, $text := .Values.files }}
{{ $name }}: |
{{ $text | indent 2 }}
{{- end }}
{{- end }}

{{- define "callstream.command" -}}
image: {{ include "callstream.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env: {{- include "callstream.env" . | nindent 2 }}
resources: {{- toYaml .Values.migrations.resources | nindent 2 }}
securityContext: {{- include "callstream.containerSecurity" . | nindent 2 }}
volumeMounts: {{- include "callstream.mounts" . | nindent 2 }}
{{- end }}
