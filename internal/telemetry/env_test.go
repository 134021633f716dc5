package telemetry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func env(pairs map[string]string) environment {
	return func(name string) string { return pairs[name] }
}

func TestAsked(t *testing.T) {
	endpoint := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
	for name, c := range map[string]struct {
		env  map[string]string
		want string // the signals that go to OTLP
	}{
		"nothing asked":     {},
		"endpoint":          {env: endpoint, want: "TRACES METRICS LOGS"},
		"traces endpoint":   {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, want: "TRACES"},
		"logs endpoint":     {env: map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4318"}, want: "LOGS"},
		"exporter":          {env: map[string]string{"OTEL_METRICS_EXPORTER": "prometheus, OTLP"}, want: "METRICS"},
		"none wins":         {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: "METRICS LOGS"},
		"only /metrics":     {env: map[string]string{"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, want: "TRACES LOGS"},
		"blank is not said": {env: map[string]string{"OTEL_TRACES_EXPORTER": " "}},
	} {
		var got []string
		for _, signal := range []string{"TRACES", "METRICS", "LOGS"} {
			if env(c.env).asked(signal, "otlp") {
				got = append(got, signal)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v go to OTLP, want %s", name, got, c.want)
		}
	}
}

// TestBadValues holds that no variable is ignored without a word.
func TestBadValues(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"OTEL_TRACES_EXPORTER", "zipkin", `"zipkin" is not served: use otlp, none`},
		{"OTEL_TRACES_EXPORTER", "prometheus", "use otlp, none"},
		{"OTEL_METRICS_EXPORTER", "console", "console is not served: use otlp, prometheus, none; fetchsvc dev"},
		{"OTEL_LOGS_EXPORTER", "none,otlp", "none stands alone"},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote", "use one of always_on, always_off"},
		{"OTEL_TRACES_SAMPLER_ARG", "1.1", "from 0 to 1"},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN", "from 0 to 1"},
		{"OTEL_METRICS_EXEMPLAR_FILTER", "on", "use one of trace_based, always_on, always_off"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "write http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "unix:///c.sock", "write http://HOST:PORT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:sesame@c:4318", "use OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318?key=sesame", "take it away"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318", "the host is missing"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:99999", "from 1 to 65535"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=b,c=sesame%0d%0aX: y", "item 2: no header may have a control character"},
		{"OTEL_SERVICE_NAME", "\xff", "UTF-8"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a=b,c", "item 2 is not key=value"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a=%zz", "item 1: write % as %25"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a=%ff", "item 1: write it in UTF-8"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "use http/protobuf or grpc"},
		{"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "GRPC", "use http/protobuf or grpc"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "sesame", "item 1 is not name=value"},
		{"OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b,c=sesame%", "item 2: write % as %25"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "whole number from 1"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "0", "whole number from 1"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "use gzip or none"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file", "no such file"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", empty, "no certificate in PEM"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/no/such/file", "no such file"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", empty, "go together"},
		{"OTEL_EXPORTER_OTLP_INSECURE", "yes", "use true or false"},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both", "use one of cumulative, delta, lowmemory"},
		{"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "log", "use one of explicit_bucket_histogram"},
		{"OTEL_BSP_SCHEDULE_DELAY", "-1", "whole number from 1"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "1000000000", "from 1 to 1000000"},
		{"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4096", "more than OTEL_BLRP_MAX_QUEUE_SIZE, which is 2048"},
		{"OTEL_METRIC_EXPORT_INTERVAL", "1m", "whole number from 1"},
		{"OTEL_ATTRIBUTE_COUNT_LIMIT", "many", "whole number from -1"},
		{"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "-2", "whole number from -1"},
	} {
		err := env(map[string]string{c.name: c.value}).check()
		if err == nil || !strings.Contains(err.Error(), c.name) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v; want an error that says %q", c.name, c.value, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: the error has the secret: %v", c.name, err)
		}
	}
}

func TestBadPairs(t *testing.T) {
	_, ca, _, _ := tlsConfig(t)
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"insecure https": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, "take OTEL_EXPORTER_OTLP_INSECURE away"},
		"secure http":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_LOGS_INSECURE": "false"}, "take OTEL_EXPORTER_OTLP_LOGS_INSECURE away"},
		"authorities":    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_CERTIFICATE": ca}, "OTEL_EXPORTER_OTLP_ENDPOINT is without TLS"},
		"no pair":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": ca, "OTEL_EXPORTER_OTLP_CLIENT_KEY": ca}, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: tls:"},
		"two errors": {map[string]string{"OTEL_TRACES_SAMPLER": "x", "OTEL_BSP_SCHEDULE_DELAY": "y"},
			"OTEL_BSP_SCHEDULE_DELAY=y"},
	} {
		if err := env(c.env).check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an error that says %q", name, err, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want int
	}{
		"none":           {},
		"fine":           {env: map[string]string{"OTEL_PROPAGATORS": "baggage,tracecontext", "OTEL_SDK_DISABLED": "False", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}},
		"propagators":    {env: map[string]string{"OTEL_PROPAGATORS": "b3,jaeger"}, want: 1},
		"disabled":       {env: map[string]string{"OTEL_SDK_DISABLED": "1"}, want: 1},
		"argument":       {env: map[string]string{"OTEL_TRACES_SAMPLER_ARG": "0.1"}, want: 1},
		"declared in it": {env: map[string]string{"OTEL_CONFIG_FILE": "otel.yaml"}, want: 1},
	} {
		if got := env(c.env).warnings(); len(got) != c.want {
			t.Errorf("%s: %q, want %d warnings", name, got, c.want)
		}
	}
}

func TestVariables(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Variables() {
		if v.Meaning == "" {
			t.Errorf("%s has no meaning", v.Name)
		}
		for _, name := range v.Names() {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "OTEL_BLRP_MAX_QUEUE_SIZE", "OTEL_SERVICE_NAME"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestSetupOff(t *testing.T) {
	for _, variables := range []map[string]string{
		{"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "nonsense"},
		{"OTEL_METRICS_EXPORTER": "none"},
	} {
		tel, err := Setup(t.Context(), Config{Env: env(variables)})
		if err != nil {
			t.Fatal(err)
		}
		if tel.Tracing() || tel.Metrics() != nil || tel.AuditLogger() != nil {
			t.Errorf("%v: tracing %v, handler %v, audit %v; want none", variables, tel.Tracing(), tel.Metrics(), tel.AuditLogger())
		}
		if _, err := tel.Meter().Int64Counter("fetchsvc.calls"); err != nil {
			t.Error(err)
		}
		tel.Emit(Span{Name: "GET"})
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestSetupRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
		"OTEL_RESOURCE_ATTRIBUTES":    "no-equals-sign",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if _, err := Setup(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("Setup with %s=%s: %v, want an error that names it", name, value, err)
			}
		})
	}
}

func TestCollectorUnlessSaid(t *testing.T) {
	for want, pairs := range map[string]map[string]string{
		"http://localhost:4318":  nil,
		"http://localhost:4317":  {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
		"https://localhost:4318": {"OTEL_EXPORTER_OTLP_INSECURE": "false"},
		"":                       {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"},
	} {
		if _, got := env(pairs).collector("TRACES"); got != want {
			t.Errorf("%v: traces go to %q, want %q", pairs, got, want)
		}
	}
}
