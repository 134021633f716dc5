package telemetry

import (
	"slices"
	"strings"
)

// Variable is one that Setup or the OpenTelemetry SDK below it reads. Any other
// setting of the standard has no effect.
type Variable struct {
	Name string
	// PerSignal says that OTEL_EXPORTER_OTLP_X is also read as
	// OTEL_EXPORTER_OTLP_TRACES_X, _METRICS_X and _LOGS_X, which win for their signal.
	PerSignal bool
	// Default is what holds where the variable is unset or empty.
	Default string
	Meaning string

	// check refuses what would be ignored, or worse, without a word.
	check check
	// secret says that the value is never shown.
	secret bool
}

// Variables gives all of them, in the order of the documentation.
func Variables() []Variable {
	return slices.Concat(generalVariables(), otlpVariables(), queueVariables(), limitVariables())
}

// Names gives the names under which v is read.
func (v Variable) Names() []string {
	names := []string{v.Name}
	if !v.PerSignal {
		return names
	}
	for _, signal := range []string{"TRACES", "METRICS", "LOGS"} {
		names = append(names, strings.Replace(v.Name, otlpPrefix, otlpPrefix+signal+"_", 1))
	}
	return names
}

func generalVariables() []Variable {
	return []Variable{
		{Name: "OTEL_SDK_DISABLED", Default: "false", Meaning: "`true`: no traces, no metrics (and no /metrics), no logs; the other variables are not read."},
		{Name: "OTEL_TRACES_EXPORTER", Default: "`otlp` if an endpoint is set, else `none`", check: exporterList("otlp", "none"),
			Meaning: "`otlp` or `none`."},
		{Name: "OTEL_METRICS_EXPORTER", Default: "`prometheus`, and `otlp` if an endpoint is set", check: exporterList("otlp", "prometheus", "none"),
			Meaning: "A list of `otlp` and `prometheus`, or `none`. /metrics is served unless it is `none`."},
		{Name: "OTEL_LOGS_EXPORTER", Default: "`otlp` if an endpoint is set, else `none`", check: exporterList("otlp", "none"),
			Meaning: "`otlp` or `none`. The log on standard error is written in any case."},
		{Name: "OTEL_SERVICE_NAME", Default: "`fetchsvc`", check: utf8Text, Meaning: "service.name of the resource."},
		{Name: "OTEL_RESOURCE_ATTRIBUTES", check: attributeList, Meaning: "More attributes of the resource, `key=value,key=value` with the values percent-encoded."},
		{Name: "OTEL_TRACES_SAMPLER", Default: "`parentbased_always_on`", check: oneOf(samplers...),
			Meaning: "What decides which traces are kept: " + code(samplers) + ". The policy may say otherwise for an upstream."},
		{Name: "OTEL_TRACES_SAMPLER_ARG", Default: "`1`", check: share, Meaning: "The share that a `traceidratio` keeps, from 0 to 1."},
		{Name: "OTEL_METRICS_EXEMPLAR_FILTER", Default: "`trace_based`", check: oneOf("trace_based", "always_on", "always_off"),
			Meaning: "Which measurements may leave an exemplar: `trace_based` (those of sampled traces), `always_on`, `always_off`."},
		{Name: "OTEL_PROPAGATORS", Default: "`tracecontext,baggage`", Meaning: "These are always read, and no others; what goes to an upstream is up to the policy."},
	}
}

func otlpVariables() []Variable {
	otlp := func(setting, def, meaning string, check check) Variable {
		return Variable{Name: otlpPrefix + setting, PerSignal: true, Default: def, Meaning: meaning, check: check}
	}
	headers := otlp("HEADERS", "", "Headers of every request to the collector, `name=value,name=value` with the values percent-encoded. Never shown.", headerList)
	endpoint := otlp("ENDPOINT", "`http://localhost:4318`, for gRPC `http://localhost:4317`",
		"URL of the collector. For HTTP, /v1/traces, /v1/metrics and /v1/logs are added to the one without a signal in its name.", collectorURL)
	headers.secret, endpoint.secret = true, true // some collectors have a key in the path
	metrics := func(setting, def, meaning string, values ...string) Variable {
		return Variable{Name: otlpPrefix + "METRICS_" + setting, Default: def, Meaning: meaning, check: oneOf(values...)}
	}
	return []Variable{
		endpoint,
		otlp("PROTOCOL", "`http/protobuf`", "`http/protobuf` or `grpc`.", protocols),
		headers,
		otlp("TIMEOUT", "`10000`", "Milliseconds that one export may take.", count),
		otlp("COMPRESSION", "`none`", "`gzip` or `none`.", exactly("gzip", "none")),
		otlp("CERTIFICATE", "the system's", "PEM file of the authorities that vouch for the collector.", authorities),
		otlp("CLIENT_CERTIFICATE", "", "PEM file of the certificate shown to the collector.", readable),
		otlp("CLIENT_KEY", "", "PEM file of its key.", readable),
		otlp("INSECURE", "as the endpoint's scheme says", "`true` or `false`; it must agree with the endpoint's scheme.", exactly("true", "false")),
		metrics("TEMPORALITY_PREFERENCE", "`cumulative`", "`cumulative`, `delta` or `lowmemory`; /metrics is always cumulative.", "cumulative", "delta", "lowmemory"),
		metrics("DEFAULT_HISTOGRAM_AGGREGATION", "`explicit_bucket_histogram`", "`explicit_bucket_histogram` or `base2_exponential_bucket_histogram`; /metrics has the former.",
			"explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
	}
}

func queueVariables() []Variable {
	var all []Variable
	add := func(name, def, meaning string, check check) {
		all = append(all, Variable{Name: name, Default: def, Meaning: meaning, check: check})
	}
	for _, q := range []struct{ prefix, items, delay string }{{spanQueue, "spans", "`5000`"}, {logQueue, "log records", "`1000`"}} {
		add(q.prefix+"SCHEDULE_DELAY", q.delay, "Milliseconds between two exports of "+q.items+".", count)
		add(q.prefix+"EXPORT_TIMEOUT", "`30000`", "Milliseconds that an export with its repetitions may take.", count)
		add(q.prefix+"MAX_QUEUE_SIZE", "`2048`", "How many "+q.items+" wait at most, with those being sent; more are dropped and counted.", queueSize)
		add(q.prefix+"MAX_EXPORT_BATCH_SIZE", "`512`", "How many are sent at once; no more than the queue holds.", queueSize)
	}
	add("OTEL_METRIC_EXPORT_INTERVAL", "`60000`", "Milliseconds between two exports of metrics.", count)
	add("OTEL_METRIC_EXPORT_TIMEOUT", "`30000`", "Milliseconds that one may take.", count)
	return all
}

func limitVariables() []Variable {
	var all []Variable
	add := func(name, def, meaning string) {
		all = append(all, Variable{Name: name, Default: def, Meaning: meaning, check: limit})
	}
	add("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "none", "Characters of an attribute's value in a span; the rest is cut off. -1: no limit.")
	add("OTEL_ATTRIBUTE_COUNT_LIMIT", "`128`", "Attributes of a span. -1: no limit.")
	add("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "as OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "Wins over it.")
	add("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "as OTEL_ATTRIBUTE_COUNT_LIMIT", "Wins over it.")
	add("OTEL_SPAN_EVENT_COUNT_LIMIT", "`128`", "Events of a span; the newest are kept.")
	add("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "`128`", "Attributes of an event.")
	add("OTEL_SPAN_LINK_COUNT_LIMIT", "`128`", "Links of a span; the newest are kept.")
	add("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "`128`", "Attributes of a link.")
	add("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "none", "Characters of an attribute's value in a log record sent by OTLP.")
	add("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "`128`", "Attributes of one.")
	return all
}

// code writes words as Markdown does.
func code(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }
