package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

const explainPolicy = `
callers: [{name: billing, api_key: {secret: env:BILLING}}]
upstreams:
  - name: shop
    hosts: [shop.test]
    allow: {callers: [billing, anonymous], methods: [GET]}
    retry: {max_attempts: 2}
  - {name: trial, hosts: [trial.test], mode: report, deny: {methods: [DELETE]}}
  - {name: inner, hosts: [inner.test, mixed.test]}
`

// testNames resolves a few names, and no others.
type testNames struct{}

func (testNames) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	switch host {
	case "shop.test":
		return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
	case "mixed.test":
		return []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("10.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// explainWorld is a served policy and a client at each door.
type explainWorld struct {
	api  fetchsvcv1.PolicyServiceClient
	rest string
}

func serveExplain(t *testing.T, text string, change func(*Config)) explainWorld {
	t.Helper()
	snapshot, err := policy.Parse("explain.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{Resolver: testNames{}})
	t.Cleanup(pools.Close)
	cfg := Config{
		Engine: fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/test"}),
		Log:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	cfg.Engine.Use(snapshot)
	if change != nil {
		change(&cfg)
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listeners[0], listeners[1]) }()
	conn, err := grpc.NewClient(listeners[0].Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return explainWorld{fetchsvcv1.NewPolicyServiceClient(conn), "http://" + listeners[1].Addr().String()}
}

// ask makes one REST request on a connection of its own.
func (w explainWorld) ask(t *testing.T, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.rest+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, out
}

func TestExplainAtBothDoors(t *testing.T) {
	w := serveExplain(t, explainPolicy, nil)
	in := &fetchsvcv1.ExplainRequest{Request: &fetchsvcv1.FetchRequest{Url: "https://shop.test/?token=hush"}, Resolve: true}
	got, err := w.api.Explain(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case !got.GetAllowed(), got.GetUpstream() != "shop", got.GetCaller() != "anonymous", got.GetDeniedKind() != "":
		t.Errorf("got %v, want it allowed by shop for anonymous", got)
	case len(got.GetSchedule()) != 2 || got.GetSchedule()[0].GetNumber() != 1 || got.GetSchedule()[1].GetFits():
		t.Errorf("schedule: got %v, want two attempts, of which the first may use up the total", got.GetSchedule())
	case len(got.GetAddresses()) != 1 || got.GetAddresses()[0].GetAddress() != "93.184.216.34" || !got.GetAddresses()[0].GetAllowed():
		t.Errorf("addresses: got %v", got.GetAddresses())
	case len(got.GetRules()) != 2 || got.GetRules()[1].GetRule() != "allow" || got.GetOtherUpstreams() != 2:
		t.Errorf("rules: got %v and %d others", got.GetRules(), got.GetOtherUpstreams())
	case strings.Contains(got.String(), "hush"):
		t.Errorf("the answer shows the query: %v", got)
	}
	code, rest := w.ask(t, "POST", "/v1/policy:explain", `{"request":{"url":"https://shop.test/?token=hush"},"resolve":true}`)
	if code != 200 || rest["allowed"] != true || rest["upstream"] != "shop" || rest["reason"] != got.GetReason() {
		t.Errorf("REST: got %d %v, want what gRPC says: %v", code, rest, got)
	}
	if settings, _ := rest["settings"].([]any); len(settings) != len(got.GetSettings()) {
		t.Errorf("REST: got %d settings, want %d", len(settings), len(got.GetSettings()))
	}
}

func TestExplainDenials(t *testing.T) {
	w := serveExplain(t, explainPolicy, nil)
	for name, c := range map[string]struct {
		in         *fetchsvcv1.FetchRequest
		kind, says string
	}{
		"no upstream":    {&fetchsvcv1.FetchRequest{Url: "https://a.test/"}, "POLICY_DENIED", "no upstream of the policy lists the host"},
		"a rule":         {&fetchsvcv1.FetchRequest{Url: "https://shop.test/", Method: "POST"}, "POLICY_DENIED", "POST is not among them"},
		"not a URL":      {&fetchsvcv1.FetchRequest{Url: "ftp://shop.test/"}, "INVALID_REQUEST", "url: "},
		"Stream's":       {&fetchsvcv1.FetchRequest{Url: "https://shop.test/", ExpectContinue: true}, "INVALID_REQUEST", "expect_continue: "},
		"over the bound": {&fetchsvcv1.FetchRequest{Url: "https://shop.test/", MaxResponseBytes: 1 << 40}, "INVALID_REQUEST", "max_response_bytes: "},
		"an address":     {&fetchsvcv1.FetchRequest{Url: "https://mixed.test/"}, "ADDRESS_DENIED", "10.0.0.1"},
		"no address":     {&fetchsvcv1.FetchRequest{Url: "https://inner.test/"}, "DNS_ERROR", "inner.test"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := w.api.Explain(t.Context(), &fetchsvcv1.ExplainRequest{Request: c.in, Resolve: true})
			if err != nil {
				t.Fatal(err)
			}
			if got.GetAllowed() || got.GetDeniedKind() != c.kind || !strings.Contains(got.GetReason(), c.says) {
				t.Errorf("got %v, want %s with %q", got, c.kind, c.says)
			}
		})
	}
}

func TestExplainItself(t *testing.T) {
	w := serveExplain(t, explainPolicy, nil)
	if _, err := w.api.Explain(t.Context(), &fetchsvcv1.ExplainRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without a request: got %v, want INVALID_ARGUMENT", err)
	}
	if code, got := w.ask(t, "POST", "/v1/policy:explain", `{"request":{"url":"https://shop.test/"},"colour":1}`); code != 400 {
		t.Errorf("an unknown field: got %d %v, want 400", code, got)
	}
}

func TestExplainOfOthers(t *testing.T) {
	about := &fetchsvcv1.ExplainRequest{Request: &fetchsvcv1.FetchRequest{Url: "https://shop.test/"}, Caller: "billing"}
	own := &fetchsvcv1.ExplainRequest{Request: about.GetRequest(), Caller: "anonymous"}

	w := serveExplain(t, explainPolicy, nil)
	_, err := w.api.Explain(t.Context(), about)
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(status.Convert(err).Message(), "operators") {
		t.Errorf("about another: got %v, want PERMISSION_DENIED that names the operators", err)
	}
	if code, got := w.ask(t, "POST", "/v1/policy:explain", `{"request":{"url":"https://shop.test/"},"caller":"billing"}`); code != 403 || got["reason"] != "NOT_GRANTED" {
		t.Errorf("about another by REST: got %d %v, want 403 NOT_GRANTED", code, got)
	}
	if got, err := w.api.Explain(t.Context(), own); err != nil || got.GetCaller() != "anonymous" {
		t.Errorf("about itself by name: got %v, %v", got, err)
	}

	operated := serveExplain(t, "operators: [anonymous]\n"+explainPolicy, nil)
	got, err := operated.api.Explain(t.Context(), about)
	if err != nil || got.GetCaller() != "billing" || !got.GetAllowed() {
		t.Errorf("an operator: got %v, %v, want an answer about billing", got, err)
	}
}

func TestExplainerAsksNobody(t *testing.T) {
	snapshot, err := policy.Parse("explain.yaml", []byte(explainPolicy), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{})
	defer pools.Close()
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/test"})
	engine.Use(snapshot)
	x, err := NewExplainer(engine)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Explain(t.Context(), &fetchsvcv1.ExplainRequest{Request: &fetchsvcv1.FetchRequest{Url: "https://shop.test/"}, Caller: "billing"})
	if err != nil || !got.GetAllowed() || got.GetCaller() != "billing" {
		t.Errorf("got %v, %v, want it allowed for billing", got, err)
	}
	if _, err := x.Explain(t.Context(), &fetchsvcv1.ExplainRequest{}); err == nil {
		t.Error("an empty ExplainRequest is answered")
	}
}

func TestListUpstreamsAndSnapshot(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	why := ""
	w := serveExplain(t, explainPolicy+"credentials: [{name: spare, bind: [\"https://a.test\"], bearer: {token: {secret: env:NOBODY}}}]\n", func(cfg *Config) {
		cfg.Reported = func(upstream string) int64 { return int64(len(upstream)) }
		cfg.Rejected = func() (time.Time, string) { return at, why }
	})
	list, err := w.api.ListUpstreams(t.Context(), &fetchsvcv1.ListUpstreamsRequest{})
	if err != nil || len(list.GetUpstreams()) != 3 {
		t.Fatalf("got %v, %v, want three upstreams", list, err)
	}
	for i, want := range []string{"enforce", "report", "enforce"} {
		if up := list.GetUpstreams()[i]; up.GetMode() != want || up.GetReported() != int64(len(up.GetName())) {
			t.Errorf("got %v, want mode %s and what Reported gives", up, want)
		}
	}
	snap, err := w.api.GetSnapshot(t.Context(), &fetchsvcv1.GetSnapshotRequest{})
	if err != nil || len(snap.GetWarnings()) != 1 || !strings.Contains(snap.GetWarnings()[0], "spare") || snap.GetRejected() != nil {
		t.Errorf("got %v, %v, want one warning and nothing rejected", snap, err)
	}
	why = "policy.yaml:1: " + strings.Repeat("é", 20<<10)
	snap, err = w.api.GetSnapshot(t.Context(), &fetchsvcv1.GetSnapshotRequest{})
	if err != nil || !snap.GetRejected().GetAt().AsTime().Equal(at) || len(snap.GetRejected().GetError()) > 16<<10 || !strings.HasPrefix(why, strings.TrimSuffix(snap.GetRejected().GetError(), "…")) {
		t.Errorf("got %v, %v, want the beginning of what was rejected, 16 KiB at most", snap.GetRejected().GetAt(), err)
	}
	nobody := serveExplain(t, explainPolicy, nil)
	if snap, err = nobody.api.GetSnapshot(t.Context(), &fetchsvcv1.GetSnapshotRequest{}); err != nil || snap.GetRejected() != nil {
		t.Errorf("without Rejected: got %v, %v", snap, err)
	}
}
