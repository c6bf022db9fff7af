{{- /* The agent's configuration: the user's `config` over what only the chart knows. */ -}}
{{- define "innerspan.config" -}}
{{- $filled := dict "identify" (dict "cluster" (dict "node_name" "${NODE_NAME}")) -}}
{{- $endpoints := dig "export" "endpoints" list .Values.config -}}
{{- if and .Values.endpoint $endpoints -}}
{{- fail "\n\nBoth `endpoint` and `config.export.endpoints` are set, and it is not clear which one counts: keep one of them.\n" -}}
{{- else if .Values.endpoint -}}
{{- if not (regexMatch "^https?://[^/]" .Values.endpoint) -}}
{{- fail (printf "\n\n`endpoint` has to be a URL that starts with http:// or https://, such as http://collector:4317, and is %q.\n" .Values.endpoint) -}}
{{- end -}}
{{- $_ := set $filled "export" (dict "endpoints" (list (dict "name" "default" "endpoint" .Values.endpoint))) -}}
{{- else if not $endpoints -}}
{{- fail "\n\n`endpoint` is not set. It is the OTLP receiver that innerspan sends to, for example:\n\n  --set endpoint=http://collector:4317\n\nFor several receivers set `config.export.endpoints` instead.\n" -}}
{{- end -}}
{{- if .Values.clusterName -}}
{{- if dig "identify" "cluster" "cluster_name" "" .Values.config -}}
{{- fail "\n\nBoth `clusterName` and `config.identify.cluster.cluster_name` are set, and it is not clear which one counts: keep one of them.\n" -}}
{{- end -}}
{{- $_ := set $filled.identify.cluster "cluster_name" .Values.clusterName -}}
{{- end -}}
{{- mustMergeOverwrite $filled (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{- /* The port of an address: what follows its last colon. */ -}}
{{- define "innerspan.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{- /* A duration such as 20s or 2m in whole seconds: a date is the only thing that Helm can move by one. */ -}}
{{- define "innerspan.seconds" -}}
{{- $from := toDate "2006-01-02" "2000-01-01" -}}
{{- sub ($from | mustDateModify (printf "+%s" .) | unixEpoch | int64) ($from | unixEpoch | int64) -}}
{{- end -}}
