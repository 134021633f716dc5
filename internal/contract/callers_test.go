package contract

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// metadataOf says over gRPC what header says over REST.
func metadataOf(ctx context.Context, header http.Header) context.Context {
	for name, values := range header {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), v)
		}
	}
	return ctx
}

// question is an Explain of anything: its answer says who asked.
const question = `{"request":{"url":"http://staff.test/"}}`

// whoOverGRPC gives the name by which the service knows the client, or what it
// says instead.
func (c *client) whoOverGRPC(t *testing.T) (name string, refused *answer) {
	t.Helper()
	in := &fetchsvcv1.ExplainRequest{Request: &fetchsvcv1.FetchRequest{Url: "http://staff.test/"}}
	res, err := fetchsvcv1.NewPolicyServiceClient(c.conn).Explain(metadataOf(t.Context(), c.header), in)
	if err != nil {
		return "", ofStatus(err, strings.NewReplacer())
	}
	return res.GetCaller(), nil
}

func (c *client) whoOverREST(t *testing.T) (name string, refused *answer) {
	t.Helper()
	res, text := c.get(t, http.MethodPost, "/v1/policy:explain", question, nil)
	if res.StatusCode != http.StatusOK {
		if got := res.Header.Get("WWW-Authenticate"); (res.StatusCode == http.StatusUnauthorized) != strings.HasPrefix(got, "Bearer ") {
			t.Errorf("status %d comes with WWW-Authenticate %q", res.StatusCode, got)
		}
		return "", ofProblem(res, text, strings.NewReplacer())
	}
	var out fetchsvcv1.ExplainResponse
	if err := protojson.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out.GetCaller(), nil
}

var elapsed = regexp.MustCompile(`\b[0-9hm.]+s ago\b`)

// timeless is what one door says, but for how long ago something was: the doors are
// asked one after the other.
func timeless(message string) string { return elapsed.ReplaceAllString(message, "a while ago") }

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// TestCallersProveWhoTheyAre: by each proof, at each door, over HTTP/1.1 and
// HTTP/2, the same caller or the same refusal.
func TestCallersProveWhoTheyAre(t *testing.T) {
	g := newGuarded(t)
	billing, stranger := g.identity("billing"), testpeer.NewCA(t)
	token, past := g.corp.token(t, "reports", nil), map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("billing:billing-key-canary"))
	tests := []struct {
		name   string
		header http.Header
		certs  []tls.Certificate
		want   string // empty: refused
		says   string
	}{
		{name: "nothing", says: "Bearer"},
		{name: "a key", header: bearer(keyOf["billing"]), want: "billing"},
		{name: "the next key", header: bearer(keyOf["billing next"]), want: "billing"},
		{name: "another caller's key", header: bearer(keyOf["shipping"]), want: "shipping"},
		{name: "a key that is none", header: bearer("nobody-canary")},
		{name: "the scheme in other letters", header: http.Header{"Authorization": {"bEARER " + keyOf["billing"]}}, want: "billing"},
		{name: "a token", header: bearer(token), want: "reports"},
		{name: "an expired token", header: bearer(g.corp.token(t, "reports", past)), says: "expired"},
		{name: "a token of a stranger", header: bearer(newSigner(t).token(t, "reports", nil))},
		{name: "a token for somebody else", header: bearer(g.corp.token(t, "reports", map[string]any{"aud": "elsewhere"}))},
		{name: "a token for nobody here", header: bearer(g.corp.token(t, "nobody", nil))},
		{name: "a token and another's certificate", header: bearer(token), certs: []tls.Certificate{billing}, says: "different callers"},
		{name: "a certificate", certs: []tls.Certificate{billing}, want: "billing"},
		{name: "a certificate that names nobody", certs: []tls.Certificate{g.identity("nobody")}},
		{name: "a certificate and its key", certs: []tls.Certificate{billing}, header: bearer(keyOf["billing"]), want: "billing"},
		{name: "a certificate and another's key", certs: []tls.Certificate{billing}, header: bearer(keyOf["shipping"])},
		{name: "a certificate and a bad key", certs: []tls.Certificate{billing}, header: bearer("nobody-canary")},
		{name: "the other header", header: http.Header{"Fetchsvc-Authorization": {"Bearer " + keyOf["billing"]}}, want: "billing"},
		{name: "the other header wins", header: http.Header{
			"Fetchsvc-Authorization": {"Bearer " + keyOf["billing"]}, "Authorization": {basic, "Negotiate x"},
		}, want: "billing"},
		{name: "the other header wins when it is bad", header: http.Header{
			"Fetchsvc-Authorization": {"Bearer nobody-canary"}, "Authorization": {"Bearer " + keyOf["billing"]},
		}},
		{name: "basic", header: http.Header{"Authorization": {basic}}, says: "Bearer TOKEN"},
		{name: "basic beside a certificate", header: http.Header{"Authorization": {basic}}, certs: []tls.Certificate{billing}, says: "Bearer TOKEN"},
		{name: "the key alone", header: http.Header{"Authorization": {keyOf["billing"]}}, says: "does not begin with Bearer"},
		{name: "no token", header: http.Header{"Authorization": {"Bearer"}}, says: "no token"},
		{name: "two tokens", header: http.Header{"Authorization": {"Bearer a " + keyOf["billing"]}}, says: "more behind Bearer"},
		{name: "two headers", header: http.Header{"Authorization": {"Bearer " + keyOf["billing"], "Bearer " + keyOf["billing"]}}, says: "more than once"},
		{name: "a very long token", header: bearer(strings.Repeat("x", 17<<10)), says: "too long"},
		{name: "an empty header", header: http.Header{"Authorization": {""}}, says: "Bearer TOKEN"},
	}
	t.Run("proof", func(t *testing.T) { // ends when all of them have
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				c := g.client(t, tt.header, tt.certs...)
				old := &tls.Config{RootCAs: g.ca.Pool(), Certificates: tt.certs, NextProtos: []string{"http/1.1"}, MaxVersion: tls.VersionTLS12}
				http1 := newClient(t, g, &tls.Config{RootCAs: g.ca.Pool()}, tt.header)
				http1.web = &http.Client{Transport: &http.Transport{TLSClientConfig: old}}
				t.Cleanup(http1.web.CloseIdleConnections)
				overGRPC, g1 := c.whoOverGRPC(t)
				overREST, r1 := c.whoOverREST(t)
				overHTTP1, h1 := http1.whoOverREST(t)
				if overGRPC != tt.want || overREST != tt.want || overHTTP1 != tt.want {
					t.Fatalf("the caller is %q over gRPC, %q over REST and %q over HTTP/1.1, want %q; refused %v %v %v",
						overGRPC, overREST, overHTTP1, tt.want, g1, r1, h1)
				}
				if tt.want != "" {
					return
				}
				for door, a := range map[string]*answer{"gRPC": g1, "REST": r1, "HTTP/1.1": h1} {
					if a.Kind != "UNAUTHENTICATED" || a.Code != "UNAUTHENTICATED" || len(a.faults) > 0 {
						t.Errorf("%s ends with %s %s %q, want UNAUTHENTICATED", door, a.Code, a.Kind, a.faults)
					}
					if !strings.Contains(a.Message, tt.says) || timeless(a.Message) != timeless(g1.Message) || strings.Contains(a.Message, "canary") {
						t.Errorf("%s says %q, want what gRPC says, with %q and without the proof: %q", door, a.Message, tt.says, g1.Message)
					}
				}
			})
		}
	})
	t.Run("a certificate of a stranger", func(t *testing.T) {
		bad := stranger.Issue(testpeer.CertOpts{CommonName: "billing", Names: []string{"billing.callers.test"}, Client: true})
		force := &tls.Config{RootCAs: g.ca.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &bad, nil }}
		c := newClient(t, g, force, bearer(keyOf["billing"]))
		if name, refused := c.whoOverGRPC(t); refused == nil || refused.Code != "UNAVAILABLE" {
			t.Errorf("gRPC answers %q, %v; want no handshake", name, refused)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.rest+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := c.web.Do(r); err == nil {
			res.Body.Close()
			t.Errorf("REST answers %d, want no handshake", res.StatusCode)
		}
	})
	if text := g.log.String(); strings.Contains(text, "canary") || strings.Contains(text, token) {
		t.Errorf("the log shows a proof:\n%s", text)
	}
	g.spansHide(t)
}

// spansHide holds that no span shows a proof, and that each has its caller.
func (g *guarded) spansHide(t *testing.T) {
	t.Helper()
	callers, refused := map[string]bool{}, map[string]bool{}
	for _, s := range g.spans.spans() {
		door := ""
		for _, kv := range s.Attributes {
			if strings.Contains(kv.Value.String(), "canary") {
				t.Errorf("span %s shows a proof in %s", s.Name, kv.Key)
			}
			switch {
			case kv.Key == "fetchsvc.door":
				door = kv.Value.AsString()
			case kv.Key == "fetchsvc.caller":
				callers[kv.Value.AsString()] = true
			case kv.Key == "fetchsvc.outcome" && kv.Value.AsString() == "UNAUTHENTICATED":
				refused[door+" "+s.Name] = true
			}
		}
		if strings.Contains(s.Description, "canary") {
			t.Errorf("the status of span %s shows a proof", s.Name)
		}
	}
	for _, door := range []string{"grpc", "rest"} {
		if !refused[door+" fetchsvc.v1.PolicyService/Explain"] {
			t.Errorf("no span of %s tells of a refusal; %v do", door, refused)
		}
	}
	for _, want := range []string{"billing", "shipping", "reports"} {
		if !callers[want] {
			t.Errorf("no span names the caller %s; they name %v", want, callers)
		}
	}
}

// TestNothingAnswersStrangers asks everything that both doors serve without a
// proof, as the service itself lists it. Only health and readiness answer.
func TestNothingAnswersStrangers(t *testing.T) {
	g := newGuarded(t)
	stranger, known := g.client(t, nil), g.client(t, bearer(keyOf["billing"]))
	methods := known.methods(t)
	if !slices.Contains(methods, "/fetchsvc.v1.FetchService/Stream") || !slices.Contains(methods, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") {
		t.Fatalf("reflection lists %q, want all there is", methods)
	}
	for _, method := range append(methods, "/fetchsvc.v1.FetchService/Nope", "/nobody.v1.Service/Nope") {
		open := method == healthv1.Health_Check_FullMethodName
		err := stranger.knock(t, method, open) // before the message is read
		want := codes.Unauthenticated
		if open {
			want = codes.OK
		}
		if status.Code(err) != want {
			t.Errorf("%s answers a stranger %v, want %v", method, err, want)
		}
	}
	if err := known.knock(t, "/nobody.v1.Service/Nope", true); status.Code(err) != codes.Unimplemented {
		t.Errorf("an RPC that does not exist answers a caller %v, want UNIMPLEMENTED", err)
	}
	pages := []string{"/", "/docs", "/docs/", "/openapi.json", "/metrics", "/nope", "/v1/", "/v1/nope", "/v1/stream", "/healthz/", "/readyz/x", "//healthz", "/docs/../healthz"}
	for _, r := range rpcs(t) {
		pages = append(pages, r.path)
	}
	for _, path := range pages {
		for _, verb := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodHead, http.MethodOptions} {
			res, _ := stranger.get(t, verb, path, "{", nil) // not even the JSON is looked at
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s answers a stranger with %d, want 401", verb, path, res.StatusCode)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if res, _ := stranger.get(t, http.MethodGet, path, "", nil); res.StatusCode != http.StatusOK {
			t.Errorf("%s answers a stranger with %d, want 200", path, res.StatusCode)
		}
		if res, _ := stranger.get(t, http.MethodGet, path, "", bearer("nobody-canary")); res.StatusCode != http.StatusOK {
			t.Errorf("%s answers a bad proof with %d, want 200", path, res.StatusCode)
		}
	}
	for _, path := range []string{"/docs/", "/openapi.json", "/v1/upstreams", "/v1/policy:snapshot"} {
		if res, _ := known.get(t, http.MethodGet, path, "", nil); res.StatusCode != http.StatusOK {
			t.Errorf("%s answers a caller with %d, want 200", path, res.StatusCode)
		}
	}
}

// methods are all RPCs of the gRPC door, by reflection.
func (c *client) methods(t *testing.T) (all []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(metadataOf(t.Context(), c.header))
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(c.conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(in *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if err := stream.Send(in); err != nil {
			t.Fatal(err)
		}
		out, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	for _, s := range list.GetListServicesResponse().GetService() {
		file := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: s.GetName()}})
		for _, raw := range file.GetFileDescriptorResponse().GetFileDescriptorProto() {
			var fd descriptorpb.FileDescriptorProto
			if err := proto.Unmarshal(raw, &fd); err != nil {
				t.Fatal(err)
			}
			for _, svc := range fd.GetService() {
				if name := fd.GetPackage() + "." + svc.GetName(); name == s.GetName() {
					for _, m := range svc.GetMethod() {
						all = append(all, "/"+name+"/"+m.GetName())
					}
				}
			}
		}
	}
	return all
}

// knock calls an RPC, whatever its kind, and sends an empty message or nothing.
func (c *client) knock(t *testing.T, method string, speak bool) error {
	t.Helper()
	ctx, cancel := context.WithCancel(metadataOf(t.Context(), c.header))
	defer cancel()
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if speak {
		if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_ = stream.CloseSend()
	}
	err = stream.RecvMsg(&healthv1.HealthCheckResponse{})
	if err == io.EOF {
		return nil
	}
	return err
}

// TestIdentityIsNotForged: what a caller writes about itself changes nothing.
func TestIdentityIsNotForged(t *testing.T) {
	g := newGuarded(t)
	forged := http.Header{}
	for _, name := range []string{
		"Grpc-Metadata-Authorization", "Grpc-Metadata-Fetchsvc-Authorization", "Grpcgateway-Authorization", "Proxy-Authorization",
		"Grpc-Metadata-Caller", "X-Caller", "Fetchsvc-Caller", "X-Forwarded-User", "X-Forwarded-Client-Cert", "Ssl-Client-Cert",
	} {
		forged[name] = []string{"Bearer " + keyOf["shipping"], `Subject="CN=shipping"`}
	}
	if name, refused := g.client(t, forged).whoOverREST(t); refused == nil || refused.Kind != "UNAUTHENTICATED" {
		t.Errorf("forged headers alone make the caller %q (%v), want none", name, refused)
	}
	if name, refused := g.client(t, forged).whoOverGRPC(t); refused == nil || refused.Kind != "UNAUTHENTICATED" {
		t.Errorf("forged metadata alone makes the caller %q (%v), want none", name, refused)
	}
	forged["Authorization"] = []string{"Bearer " + keyOf["billing"]}
	c := g.client(t, forged)
	for door, who := range map[string]func(*testing.T) (string, *answer){"gRPC": c.whoOverGRPC, "REST": c.whoOverREST} {
		if name, refused := who(t); name != "billing" {
			t.Errorf("over %s the caller is %q (%v), want billing", door, name, refused)
		}
	}
	res, text := c.get(t, http.MethodPost, "/v1/policy:explain", `{"caller":"shipping","request":{"url":"http://staff.test/"}}`, nil)
	expectProblem(t, res, text, "NOT_GRANTED")
}

// TestRulesHoldForWhoCalls: fetch, stream and each item of a batch are judged by
// the proven caller, at both doors, and the proof goes no further.
func TestRulesHoldForWhoCalls(t *testing.T) {
	g := newGuarded(t)
	up := testpeer.Echo(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(up.URL, "http://"), ":")
	url := "http://staff.test:" + port + "/"
	for caller, allowed := range map[string]bool{"billing": true, "shipping": false} {
		c := g.client(t, http.Header{"Authorization": {"Bearer " + keyOf[caller]}})
		api, ctx := fetchsvcv1.NewFetchServiceClient(c.conn), metadataOf(t.Context(), c.header)
		before := len(up.Requests())
		calls := map[string]func() (string, error){
			"Fetch": func() (string, error) {
				res, err := api.Fetch(ctx, &fetchsvcv1.FetchRequest{Url: url})
				return string(res.GetBody()), err
			},
			"Stream": func() (string, error) {
				st, err := api.Stream(ctx)
				if err != nil {
					return "", err
				}
				if err := st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: &fetchsvcv1.FetchRequest{Url: url}}}); err != nil {
					return "", err
				}
				_ = st.CloseSend()
				var body strings.Builder
				for {
					m, err := st.Recv()
					if err == io.EOF {
						return body.String(), nil
					}
					if err != nil {
						return "", err
					}
					body.Write(m.GetChunk())
				}
			},
			"FetchBatch": func() (string, error) {
				st, err := api.FetchBatch(ctx, &fetchsvcv1.FetchBatchRequest{Requests: []*fetchsvcv1.FetchRequest{{Url: url}}})
				if err != nil {
					return "", err
				}
				m, err := st.Recv()
				if err != nil {
					return "", err
				}
				if _, end := st.Recv(); end != io.EOF {
					t.Errorf("the batch ends with %v", end)
				}
				if m.GetError() != nil {
					return "", status.ErrorProto(m.GetError())
				}
				return string(m.GetResponse().GetBody()), nil
			},
		}
		for _, rest := range []string{"/v1/fetch", "/v1/stream", "/v1/fetch:batch"} {
			body := map[string]string{
				"/v1/fetch": `{"url":"` + url + `"}`, "/v1/stream": `{"start":{"url":"` + url + `"}}`, "/v1/fetch:batch": `{"requests":[{"url":"` + url + `"}]}`,
			}[rest]
			calls[rest] = func() (string, error) {
				_, text := c.get(t, http.MethodPost, rest, body, nil)
				if strings.Contains(string(text), "POLICY_DENIED") {
					return "", status.Error(codes.PermissionDenied, "")
				}
				return string(text), nil
			}
		}
		for name, call := range calls {
			body, err := call()
			switch {
			case allowed && (err != nil || body == ""):
				t.Errorf("%s of %s ends with %v, want an answer", name, caller, err)
			case !allowed && status.Code(err) != codes.PermissionDenied:
				t.Errorf("%s of %s ends with %v, want PERMISSION_DENIED", name, caller, err)
			case strings.Contains(strings.ToLower(body), "authorization") || strings.Contains(body, "canary"):
				t.Errorf("%s of %s handed the proof on: %s", name, caller, body)
			}
		}
		if n := len(up.Requests()) - before; allowed != (n == len(calls)) {
			t.Errorf("%d calls of %s reached the upstream of %d, want all or none", n, caller, len(calls))
		}
	}
}

// TestEachCallIsSeenOnce: at either door the interceptors run, and once.
func TestEachCallIsSeenOnce(t *testing.T) {
	g := newGuarded(t)
	c := g.client(t, bearer(keyOf["billing"]))
	for door, who := range map[string]func(*testing.T) (string, *answer){"gRPC": c.whoOverGRPC, "REST": c.whoOverREST} {
		g.spans.reset()
		if name, refused := who(t); name != "billing" {
			t.Fatalf("over %s the caller is %q (%v), want billing", door, name, refused)
		}
		until(t, "the span ends", func() bool { return len(g.spans.spans()) > 0 })
		for _, s := range g.spans.spans() {
			if s.Name != "fetchsvc.v1.PolicyService/Explain" {
				t.Errorf("over %s there is a span %s too", door, s.Name)
			}
		}
		if n := len(g.spans.spans()); n != 1 {
			t.Errorf("over %s there are %d spans, want 1", door, n)
		}
	}
}
