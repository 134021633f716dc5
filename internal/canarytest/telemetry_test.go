package canarytest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// traced are calls under trace contexts that have a caller's secrets in them, well
// formed and not, by both doors.
func (d *driver) traced() {
	own := func(name string) string {
		v := d.birds.hatch("own-" + name)
		d.birds.letOut("own-" + name)
		return v
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	baggage, state := own("baggage"), own("tracestate")
	contexts := map[string][]string{
		"baggage":              {"Traceparent", parent, "Baggage", "token=" + baggage + ";p=" + baggage},
		"baggage alone":        {"Baggage", "token=" + url.QueryEscape(baggage)},
		"no baggage":           {"Traceparent", parent, "Baggage", baggage},
		"tracestate":           {"Traceparent", parent, "Tracestate", "vendor=" + state},
		"OpenTelemetry's":      {"Traceparent", parent, "Tracestate", "ot=" + state + ";th:" + state},
		"no tracestate":        {"Traceparent", parent, "Tracestate", state},
		"later version":        {"Traceparent", "01" + parent[2:] + "-" + own("version")},
		"no traceparent":       {"Traceparent", own("traceparent")},
		"longer traceparent":   {"Traceparent", parent + "-" + own("longer")},
		"state without parent": {"Tracestate", "vendor=" + state},
	}
	conn, err := grpc.NewClient(d.child.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	api := fetchsvcv1.NewFetchServiceClient(conn)
	for name, headers := range contexts {
		for _, upstream := range []string{"bearer", "oauth-basic", "refused", "nowhere"} {
			target := d.urls[upstream] + "/ok"
			if upstream == "nowhere" {
				target = "http://nowhere.example/"
			}
			in := `{"url":"` + target + `"}`
			d.send("traced "+name, http.MethodPost, "/v1/fetch", in, d.apiKey, headers...)
			d.send("traced "+name, http.MethodPost, "/v1/stream", `{"start":`+in+`}`, d.apiKey, headers...)
			d.send("traced "+name, http.MethodPost, "/v1/fetch:batch", `{"requests":[`+in+`,{"url":"no"}]}`, d.apiKey, headers...)
			ctx := metadata.AppendToOutgoingContext(d.t.Context(), "authorization", "Bearer "+d.apiKey)
			for i := 0; i+1 < len(headers); i += 2 {
				ctx = metadata.AppendToOutgoingContext(ctx, headers[i], headers[i+1])
			}
			res, err := api.Fetch(ctx, &fetchsvcv1.FetchRequest{Url: target})
			d.keep("grpc traced "+name, res, err)
		}
		d.send("traced "+name+", a stranger", http.MethodPost, "/v1/fetch", "{}", own("stranger to traces"), headers...)
		d.send("traced "+name+", the page", http.MethodGet, "/metrics", "", d.apiKey, headers...)
	}
}

// signed are calls whose URLs have a caller's secrets in them, where the conventions of
// OpenTelemetry hide them: as the user, and under names that sign.
func (d *driver) signed() {
	for i, name := range []string{"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "x%2Damz%2Dsignature", "api_key", "access_token"} {
		own := "own-signed-" + strconv.Itoa(i)
		secret := url.QueryEscape(d.birds.hatch(own))
		d.birds.letOut(own)
		user := strings.Replace(d.urls["bearer"], "://", "://"+secret+":"+secret+"@", 1)
		for what, target := range map[string]string{
			"answered": d.urls["bearer"] + "/ok?a=b&" + name + "=" + secret, "not answered": d.urls["refused"] + "/?" + name + "=" + secret, "user": user + "/",
			"no status": d.urls["bearer"] + "/no-status?" + name + "=" + secret, "moved": d.urls["bearer"] + "/location?" + name + "=" + secret, "denied": "http://nowhere.example/?" + name + "=" + secret,
			"no URL": d.urls["bearer"] + ":no/?" + name + "=" + secret,
		} {
			in := fields{"url": target, "retry": fields{"max_attempts": 1}}
			d.fetch("signed "+name+" "+what, in, d.apiKey)
			d.stream("signed "+name+" "+what, in, d.apiKey)
		}
	}
}

// scraped reads /metrics in both its formats.
func (d *driver) scraped() {
	for format, want := range map[string]string{"text/plain": "# TYPE fetchsvc_calls_total counter", "application/openmetrics-text; version=1.0.0": `# {`} {
		page := d.send("metrics as "+format, http.MethodGet, "/metrics", "", d.apiKey, "Accept", format)
		d.said.emit("metrics as "+format, page)
		for _, want := range []string{want, `fetchsvc_upstream="oauth-basic"`} {
			if !bytes.Contains(page, []byte(want)) {
				d.t.Errorf("/metrics as %s has no %s", format, want)
			}
		}
	}
}

// sent says that the collector got all signals, and that the search finds in them what
// was planted in a path.
func (w *world) sent(c *collector, planted *aviary) {
	for signal, n := range map[string]int64{"traces": c.traces.Load(), "metrics": c.metrics.Load(), "logs": c.logs.Load()} {
		if n == 0 {
			w.t.Errorf("no %s came", signal)
		}
	}
	if c.states.Load() == 0 {
		w.t.Error("no span had the caller's tracestate")
	}
	if got, want := c.got("X-Collector-Key"), w.birds.list()["collector"].value; got != want {
		w.t.Errorf("the collector got the header %q, want %q", got, want)
	}
	if len(newSearcher(planted.list()).search(w.said.emitted["OTLP traces"])) == 0 {
		w.t.Error("the spans have a canary in their paths, and the search did not find it")
	}
	if !bytes.Contains(w.said.emitted["OTLP metrics"], []byte("oauth-basic")) || !bytes.Contains(w.said.emitted["OTLP logs"], []byte("policy")) {
		w.t.Error("the metrics or the log records are not those of this service")
	}
}

// quotes are the ways in which a collector says what it did not like.
var quotes = []struct {
	name  string
	write func(string) string
}{
	{"as it is", plain}, {"quoted", strconv.Quote}, {"JSON", func(s string) string { return jsonText(s, true) }}, {"JSON units", func(s string) string { return everyRune(s, `\u%04x`) }},
	{"percent", url.QueryEscape}, {"path", url.PathEscape}, {"all percent", func(s string) string { return everyByte(s, "%%%02x") }},
	{"HTML", html.EscapeString}, {"all HTML", func(s string) string { return everyRune(s, "&#x%x;") }},
	{"base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte("key " + s)) }}, {"base64 for URLs", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }},
	{"hex", func(s string) string { return hex.EncodeToString([]byte(s)) }}, {"HEX", func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
	{"the beginning", func(s string) string { return s[:len(s)*3/4] }}, {"the end", func(s string) string { return s[len(s)/4:] }},
	{"late", func(s string) string { return strings.Repeat("-", 270) + s }}, {"on lines", func(s string) string { return s[:len(s)/2] + "\n" + s[len(s)/2:] }},
	{"a place", func(s string) string { return "http://127.0.0.1:1/" + url.PathEscape(s) + "?key=" + url.QueryEscape(s) }},
}

// TestCollectorEchoes: a collector that refuses the keys it was given, and quotes one,
// gets no word of it into the log, whatever the level.
func TestCollectorEchoes(t *testing.T) {
	signals := []string{"traces", "metrics", "logs"}
	for i := 0; i < len(quotes); i += len(signals) {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			t.Run(fmt.Sprint(protocol, " ", i/len(signals)), func(t *testing.T) {
				t.Parallel()
				w := &world{t: t, birds: newAviary(), said: newEvidence(), dir: t.TempDir()}
				bearer, key, password := w.birds.hatch("bearer"), w.birds.hatch("key"), w.birds.hatch("password")
				basic := base64.StdEncoding.EncodeToString([]byte("us:" + password))
				known := []string{"Bearer " + bearer, key, password, "Basic " + basic}
				c := &collector{refuse: func(signal string, _ http.Header) string {
					n := i + slices.Index(signals, signal)
					return "what is " + quotes[n%len(quotes)].write(known[n%len(known)])
				}}
				start := map[string]func(*testing.T) *collector{"grpc": c.byGRPC, "http/protobuf": c.byHTTP}[protocol]
				env := append(start(t).environment(protocol), "OTEL_BSP_SCHEDULE_DELAY=200",
					"OTEL_EXPORTER_OTLP_HEADERS=authorization="+url.PathEscape(known[0])+",x-key="+url.PathEscape(key)+",x-basic="+url.PathEscape(known[3]))
				child := serve(t, env, "--policy", w.file("policy.yaml", "telemetry: {log_level: debug}\n"))
				d := &driver{world: w, child: child}
				d.send("denied", http.MethodPost, "/v1/fetch", `{"url":"http://nowhere.example/"}`, "")
				for _, signal := range signals {
					child.await(`"msg":"telemetry cannot be sent","signal":"` + signal + `","error":`)
				}
				d.said.emit("metrics", d.send("metrics", http.MethodGet, "/metrics", "", ""))
				child.stop(syscall.SIGTERM)
				if got := c.got("X-Key"); got != key {
					t.Errorf("the collector got the key %q, want %q", got, key)
				}
				w.collect(child, "service", "")
				w.said.acquit(t, w.birds)
			})
		}
	}
}

// TestOwnEnvironment: variables that are refused, or of no effect, are told without the
// secrets in them.
func TestOwnEnvironment(t *testing.T) {
	w := &world{t: t, birds: newAviary(), said: newEvidence(), dir: t.TempDir()}
	for name, variable := range map[string]string{
		"user": "OTEL_EXPORTER_OTLP_ENDPOINT=http://us:{}@127.0.0.1:4318", "user alone": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://{}@127.0.0.1:4318",
		"query": "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318/?api-key={}", "fragment": "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318/#{}",
		"no URL": "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318%zz/{}", "no scheme": "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=us:{}@127.0.0.1:4318", "scheme": "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=ftp://us:{}@127.0.0.1",
		"no name": "OTEL_EXPORTER_OTLP_HEADERS={}", "percent": "OTEL_EXPORTER_OTLP_HEADERS=x-key={}%zz", "empty name": "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=b,={}", "comma": "OTEL_EXPORTER_OTLP_LOGS_HEADERS=x-key=a,{}",
		"name": "OTEL_EXPORTER_OTLP_HEADERS=x {}=a", "header line": "OTEL_EXPORTER_OTLP_HEADERS=x-key:{}",
	} {
		text := strings.ReplaceAll(variable, "{}", w.birds.hatch("own-"+name))
		// Something else is wrong too, so that it ends also where this one is let through.
		out, errs := run(t, []string{text, "OTEL_BSP_MAX_QUEUE_SIZE=none"}, "", "serve", "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0")
		variable, _, _ = strings.Cut(variable, "=")
		if !bytes.Contains(errs, []byte(variable)) {
			t.Errorf("%s: got %s, want an error that names %s", name, errs, variable)
		}
		w.said.emit(name, append(out, errs...))
	}
	w.said.acquit(t, w.birds)
}
