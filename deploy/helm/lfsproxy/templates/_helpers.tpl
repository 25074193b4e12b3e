{{- define "lfsproxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "lfsproxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "lfsproxy.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lfsproxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lfsproxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lfsproxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "lfsproxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "lfsproxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "lfsproxy.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "lfsproxy.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* A value as the variable's text. YAML's numbers are floats here: 134217728 would become 1.34217728e+08. */}}
{{- define "lfsproxy.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ printf "%.0f" . }}{{ else }}{{ printf "%v" . }}{{ end -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A setting's text, else its default: (list $ "LFS_UPLOAD_MEMORY" "128MiB"). */}}
{{- define "lfsproxy.setting" -}}
{{- $given := index (index . 0).Values.settings (index . 1) -}}
{{- if kindIs "invalid" $given -}}
{{- index . 2 -}}
{{- else -}}
{{- include "lfsproxy.text" $given | default (index . 2) -}}
{{- end -}}
{{- end -}}

{{/* The port of an address such as :19092 or [::1]:19092. */}}
{{- define "lfsproxy.port" -}}
{{- include "lfsproxy.setting" . | regexFind "[0-9]+$" -}}
{{- end -}}

{{- define "lfsproxy.kafkaPort" -}}
{{- include "lfsproxy.port" (list . "LFS_KAFKA_ADDR" ":19092") -}}
{{- end -}}
{{- define "lfsproxy.httpPort" -}}
{{- include "lfsproxy.port" (list . "LFS_HTTP_ADDR" ":8080") -}}
{{- end -}}
{{- define "lfsproxy.metricsPort" -}}
{{- include "lfsproxy.port" (list . "LFS_METRICS_ADDR" ":9095") -}}
{{- end -}}

{{/* The Service of the Kafka door within the cluster. */}}
{{- define "lfsproxy.kafkaHost" -}}
{{- printf "%s-kafka.%s.svc.%s" (include "lfsproxy.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* What Kafka clients are told for every broker. */}}
{{- define "lfsproxy.advertisedHost" -}}
{{- include "lfsproxy.setting" (list . "LFS_KAFKA_ADVERTISED_HOST" (include "lfsproxy.kafkaHost" .)) -}}
{{- end -}}

{{/* Broker N listens at this port + N. */}}
{{- define "lfsproxy.brokerPortBase" -}}
{{- include "lfsproxy.setting" (list . "LFS_KAFKA_BROKER_PORT_BASE" (add1 (int (include "lfsproxy.kafkaPort" .)) | toString)) -}}
{{- end -}}

{{/* Clients are told this port + N for broker N. */}}
{{- define "lfsproxy.advertisedPortBase" -}}
{{- include "lfsproxy.setting" (list . "LFS_KAFKA_ADVERTISED_PORT_BASE" (include "lfsproxy.brokerPortBase" .)) -}}
{{- end -}}

{{/* Bytes of a size such as 128MiB, 64k or 10GB. */}}
{{- define "lfsproxy.bytes" -}}
{{- $text := . | toString | lower | replace " " "" -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := regexFind "[a-z]*$" $text -}}
{{- $base := 1024.0 -}}
{{- if regexMatch "^[kmgt]b$" $unit }}{{ $base = 1000.0 }}{{ end -}}
{{- $power := dict "k" 1 "m" 2 "g" 3 "t" 4 -}}
{{- range until (get $power (trunc 1 $unit) | default 0 | int) }}{{ $number = mulf $number $base }}{{ end -}}
{{- printf "%.0f" $number -}}
{{- end -}}

{{/* Seconds, rounded up, of a time such as 30, 30s or 1h30m. */}}
{{- define "lfsproxy.seconds" -}}
{{- $text := . | toString | lower | replace " " "" -}}
{{- $seconds := 0.0 -}}
{{- if regexMatch "^[0-9.]+$" $text -}}
{{- $seconds = float64 $text -}}
{{- else -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h|d)" $text -1 -}}
{{- $seconds = addf $seconds (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{/* Seconds that a stop leaves the ports open while Kubernetes takes the pod out of its Services. */}}
{{- define "lfsproxy.drainDelay" -}}
{{- include "lfsproxy.setting" (list . "LFS_DRAIN_DELAY" "5") -}}
{{- end -}}

{{- define "lfsproxy.gracePeriod" -}}
{{- if .Values.terminationGracePeriodSeconds -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- else -}}
{{- $delay := include "lfsproxy.drainDelay" . | include "lfsproxy.seconds" | int -}}
{{- $timeout := include "lfsproxy.setting" (list . "LFS_DRAIN_TIMEOUT" "30") | include "lfsproxy.seconds" | int -}}
{{- add $delay $timeout 40 -}}
{{- end -}}
{{- end -}}

{{/* A size among the settings, in bytes: (list $ "LFS_UPLOAD_MEMORY" "128MiB"). */}}
{{- define "lfsproxy.size" -}}
{{- include "lfsproxy.setting" . | include "lfsproxy.bytes" -}}
{{- end -}}

{{/* The processes that serve. Memory is for each of them, so that their number has to be known here. */}}
{{- define "lfsproxy.workers" -}}
{{- $workers := include "lfsproxy.setting" (list . "LFS_WORKERS" "1") -}}
{{- if not (regexMatch "^ *[0-9]+ *$" $workers) -}}
{{- fail (printf "settings.LFS_WORKERS is %s: write a number, from which the memory of the pod follows, or write resources yourself" $workers) -}}
{{- end -}}
{{- if or (lt (int $workers) 1) (gt (int $workers) 64) -}}
{{- fail (printf "settings.LFS_WORKERS is %s: a number from 1 to 64 is needed" $workers) -}}
{{- end -}}
{{- trim $workers -}}
{{- end -}}

{{/* CPU to request: a quantity such as 500m or 0.5, for each process that serves. */}}
{{- define "lfsproxy.cpu" -}}
{{- $each := toString .Values.cpu.request -}}
{{- $milli := ternary (trimSuffix "m" $each | float64) (mulf (float64 $each) 1000.0) (hasSuffix "m" $each) -}}
{{- printf "%dm" (mulf $milli (include "lfsproxy.workers" . | float64) | ceil | int64) -}}
{{- end -}}

{{/* Bytes of the process that starts the workers, where there are several. */}}
{{- define "lfsproxy.parentBytes" -}}
{{- if eq (include "lfsproxy.workers" .) "1" }}0{{ else }}{{ mul 52 1048576 }}{{ end -}}
{{- end -}}

{{/* What a pod usually needs, in bytes. */}}
{{- define "lfsproxy.usualBytes" -}}
{{- add (include "lfsproxy.parentBytes" . | int64) (mul 112 1048576 (include "lfsproxy.workers" . | int64)) (include "lfsproxy.size" (list . "LFS_UPLOAD_MEMORY" "128MiB") | int64) -}}
{{- end -}}

{{/* The most memory that a pod needs, in bytes: the formula of docs/operate/sizing.md. */}}
{{- define "lfsproxy.mostBytes" -}}
{{- $mib := 1048576 -}}
{{- $upload := include "lfsproxy.size" (list . "LFS_UPLOAD_MEMORY" "128MiB") | int64 -}}
{{- $part := include "lfsproxy.size" (list . "LFS_S3_PART_SIZE" "8MiB") | int64 -}}
{{- $passthrough := include "lfsproxy.size" (list . "LFS_MAX_PASSTHROUGH_SIZE" "16MiB") | int64 -}}
{{- $workers := include "lfsproxy.workers" . | int64 -}}
{{- $held := add $part $passthrough -}}
{{- $history := max (mul 8 $mib) $passthrough -}}
{{- $inflating := add $held $passthrough (mul 128 $mib) -}}
{{- $searched := mul 2 $history -}}
{{- $streamed := mul (div (div $upload $workers) $held) $history -}}
{{- $lookups := mul (include "lfsproxy.setting" (list . "LFS_MAX_LOOKUPS" "2") | int64) 3 (add $passthrough $mib) -}}
{{- $decoding := mul 60 $mib -}}
{{- $kafka := mul (int64 .Values.memory.kafkaConnections) 6 $mib -}}
{{- $http := div (mul (int64 .Values.memory.httpUploads) $mib) 4 -}}
{{- $each := add (mul 112 $mib) $inflating $searched $streamed $lookups $decoding -}}
{{- add (include "lfsproxy.parentBytes" . | int64) (mul $workers $each) $upload $kafka $http -}}
{{- end -}}

{{/* Bytes as Kubernetes writes them, rounded up. */}}
{{- define "lfsproxy.mi" -}}
{{- printf "%dMi" (div (add (int64 .) 1048575) 1048576) -}}
{{- end -}}

{{- define "lfsproxy.resources" -}}
{{- if .Values.resources -}}
{{- toYaml .Values.resources -}}
{{- else -}}
requests:
  cpu: {{ include "lfsproxy.cpu" . | quote }}
  memory: {{ include "lfsproxy.usualBytes" . | include "lfsproxy.mi" }}
limits:
  memory: {{ include "lfsproxy.mostBytes" . | include "lfsproxy.mi" }}
{{- end -}}
{{- end -}}

{{/*
Files that come from Secrets: what each setting names, which Secret has it, by which key. A list in YAML of
{setting, folder, secret, key}.
*/}}
{{- define "lfsproxy.files" -}}
{{- $v := .Values -}}
{{- $sources := list
  (list "LFS_S3_CA" "s3-ca" $v.s3.ca.existingSecret $v.s3.ca.key)
  (list "LFS_KAFKA_SASL_PASSWORD_FILE" "kafka-sasl" $v.kafka.sasl.existingSecret $v.kafka.sasl.passwordKey)
  (list "LFS_KAFKA_OAUTH_CLIENT_SECRET_FILE" "kafka-oauth" $v.kafka.oauth.existingSecret $v.kafka.oauth.clientSecretKey)
  (list "LFS_KAFKA_OAUTH_CA" "kafka-oauth" $v.kafka.oauth.existingSecret $v.kafka.oauth.caKey)
  (list "LFS_KAFKA_TLS_CA" "kafka-tls" $v.kafka.tls.existingSecret $v.kafka.tls.caKey)
  (list "LFS_KAFKA_TLS_CERT" "kafka-tls" $v.kafka.tls.existingSecret $v.kafka.tls.certKey)
  (list "LFS_KAFKA_TLS_KEY" "kafka-tls" $v.kafka.tls.existingSecret $v.kafka.tls.keyKey)
  (list "LFS_KAFKA_LISTENER_TLS_CERT" "kafka-listener-tls" $v.kafka.listenerTls.existingSecret $v.kafka.listenerTls.certKey)
  (list "LFS_KAFKA_LISTENER_TLS_KEY" "kafka-listener-tls" $v.kafka.listenerTls.existingSecret $v.kafka.listenerTls.keyKey)
  (list "LFS_KAFKA_LISTENER_TLS_CLIENT_CA" "kafka-listener-tls" $v.kafka.listenerTls.existingSecret $v.kafka.listenerTls.clientCaKey)
  (list "LFS_HTTP_TLS_CERT" "http-tls" $v.http.tls.existingSecret $v.http.tls.certKey)
  (list "LFS_HTTP_TLS_KEY" "http-tls" $v.http.tls.existingSecret $v.http.tls.keyKey)
  (list "LFS_HTTP_TLS_CLIENT_CA" "http-tls" $v.http.tls.existingSecret $v.http.tls.clientCaKey)
  (list "LFS_HTTP_API_KEYS_FILE" "http-api-keys" $v.http.apiKeys.existingSecret $v.http.apiKeys.key)
-}}
{{- range $sources -}}
{{- if and (index . 2) (index . 3) }}
- {setting: {{ index . 0 }}, folder: {{ index . 1 }}, secret: {{ index . 2 | quote }}, key: {{ index . 3 | quote }}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A probe of a path: (list $ "/readyz"). Kubernetes has no client certificate, so with one it looks at the port. */}}
{{- define "lfsproxy.probe" -}}
{{- $root := index . 0 -}}
{{- $files := include "lfsproxy.files" $root -}}
{{- if or (contains "LFS_HTTP_TLS_CLIENT_CA" $files) (include "lfsproxy.setting" (list $root "LFS_HTTP_TLS_CLIENT_CA" "")) -}}
tcpSocket: {port: http}
{{- else if include "lfsproxy.httpTls" $root -}}
httpGet: {path: {{ index . 1 }}, port: http, scheme: HTTPS}
{{- else -}}
httpGet: {path: {{ index . 1 }}, port: http}
{{- end -}}
{{- end -}}

{{/* Not empty: the HTTP API is served over TLS. */}}
{{- define "lfsproxy.httpTls" -}}
{{- .Values.http.tls.existingSecret | default (include "lfsproxy.setting" (list . "LFS_HTTP_TLS_CERT" "")) -}}
{{- end -}}

{{- define "lfsproxy.httpScheme" -}}
{{- ternary "http" "https" (empty (include "lfsproxy.httpTls" .)) -}}
{{- end -}}

{{/* The settings that are secrets, a list in YAML: they go into a Secret, not into the ConfigMap. */}}
{{- define "lfsproxy.secretSettings" -}}
- LFS_KAFKA_SASL_PASSWORD
- LFS_KAFKA_OAUTH_CLIENT_SECRET
{{- end -}}

{{/* Not empty: some of them are given. */}}
{{- define "lfsproxy.givesSecrets" -}}
{{- range include "lfsproxy.secretSettings" . | fromYamlArray -}}
{{- if hasKey $.Values.settings . }}{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Where a container has its settings from: the same for the proxy and for what looks after it. */}}
{{- define "lfsproxy.environment" -}}
envFrom:
  - configMapRef: {name: {{ include "lfsproxy.fullname" . }}}
  {{- if include "lfsproxy.givesSecrets" . }}
  - secretRef: {name: {{ include "lfsproxy.fullname" . }}}
  {{- end }}
  {{- with .Values.extraEnvFrom }}{{ toYaml . | nindent 2 }}{{ end }}
{{- if or .Values.s3.credentials.existingSecret .Values.extraEnv }}
env:
  {{- with .Values.s3.credentials }}
  {{- if .existingSecret }}
  - name: AWS_ACCESS_KEY_ID
    valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKeyIdKey }}}}
  - name: AWS_SECRET_ACCESS_KEY
    valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretAccessKeyKey }}}}
  {{- if .sessionTokenKey }}
  - name: AWS_SESSION_TOKEN
    valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .sessionTokenKey }}}}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnv }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end -}}

{{/* Which Secret has the files of which folder, as YAML. */}}
{{- define "lfsproxy.folders" -}}
{{- $folders := dict -}}
{{- range include "lfsproxy.files" . | fromYamlArray }}{{ $_ := set $folders .folder .secret }}{{ end -}}
{{- toYaml $folders -}}
{{- end -}}

{{- define "lfsproxy.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- range $folder, $secret := include "lfsproxy.folders" . | fromYaml }}
- {name: {{ $folder }}, mountPath: /etc/lfsproxy/{{ $folder }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end -}}

{{/* The volumes of the files, and those of the user's own. */}}
{{- define "lfsproxy.fileVolumes" -}}
{{- range $folder, $secret := include "lfsproxy.folders" . | fromYaml }}
- name: {{ $folder }}
  secret: {secretName: {{ $secret | quote }}, defaultMode: 0440}
{{- end }}
{{- with .Values.extraVolumes }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end -}}
