package oteltest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// tokens answers as a token endpoint.
func tokens(*world) testpeer.Script {
	var issued atomic.Int64
	return testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) {
		c.Write(testpeer.Response(200, fmt.Sprintf(`{"access_token":"issued-%d","token_type":"Bearer","expires_in":3600}`, issued.Add(1)), "Content-Type: application/json"))
	})
}

// wants answers 401 with challenge to who does not show proof.
func wants(proof, challenge string) func(*world) testpeer.Script {
	return always(testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		if strings.HasPrefix(r.Get("Authorization"), proof) {
			c.Write(testpeer.Response(200, "ok"))
			return
		}
		c.Write(testpeer.Response(401, "who?", "WWW-Authenticate: "+challenge))
	}))
}

const oauth = `credentials:
  - name: us
    bind: ["http://{a}"]
    oauth2: {token_url: "http://{issuer}/token", unsafe_plain_http: true, unsafe_allow_addresses: [127.0.0.1], client_id: us, client_secret: {secret: env:TOKEN}}
upstreams:
`

// credentials are calls that prove who we are.
func credentials() []scenario {
	return []scenario{
		{
			name: "digest", about: "A challenge is answered.",
			policy: "credentials:\n  - name: us\n    bind: [\"http://{a}\"]\n    digest: {username: user, password: {secret: env:TOKEN}}\nupstreams:\n" + upstream("a", "credential: us"),
			peers:  map[string]func(*world) testpeer.Script{"a": wants("Digest", `Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`)},
			calls:  get(`"url":"http://{a}/"`, "200"),
		},
		{
			name: "token", about: "A token is fetched, which the call waits for, and used again.",
			policy: oauth + upstream("a", "credential: us"),
			peers:  map[string]func(*world) testpeer.Script{"a": wants("Bearer issued-1", "Bearer"), "issuer": tokens},
			env:    []string{"OTEL_METRIC_EXPORT_INTERVAL=100"},
			calls: func(w *world) {
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
				w.collected("fetchsvc.token.remaining")
			},
		},
		{
			name: "token_refreshed", about: "The upstream refuses a token, and takes the next.",
			policy: oauth + upstream("a", "credential: us"),
			peers:  map[string]func(*world) testpeer.Script{"a": wants("Bearer issued-2", `Bearer error="invalid_token"`), "issuer": tokens},
			calls:  get(`"url":"http://{a}/"`, "200"),
		},
		{
			name: "token_refused", about: "The token endpoint refuses us.",
			policy: oauth + upstream("a", "credential: us"),
			peers:  map[string]func(*world) testpeer.Script{"a": always(testpeer.OK), "issuer": always(testpeer.Answer(testpeer.Response(401, `{"error":"invalid_client"}`, "Content-Type: application/json")))},
			calls:  get(`"url":"http://{a}/"`, "CREDENTIAL_UNAVAILABLE"),
		},
		{
			name: "scrubbed", about: "The upstream echoes our token, which is taken out of its answer.",
			policy: "credentials:\n  - name: us\n    bind: [\"http://{a}\"]\n    bearer: {token: {secret: env:TOKEN}}\nupstreams:\n" + upstream("a", "credential: us"),
			peers:  only(testpeer.Answer(testpeer.Response(200, "you said token-of-the-test", "Content-Type: text/plain"))),
			calls:  get(`"url":"http://{a}/"`, "200"),
		},
	}
}

// transfers are bodies on their way.
func transfers() []scenario {
	return []scenario{
		{
			name: "streamed", about: "A stream.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: func(w *world) { w.want(w.stream(`{"url":"http://{a}/"}`), "200") },
		},
		{
			name: "cut", about: "A stream whose body breaks off.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.CutBody),
			calls: func(w *world) { w.want(w.stream(`{"url":"http://{a}/"}`), "BODY_CUT_SHORT") },
		},
		{
			name: "resumed", about: "A download breaks off and is resumed.", policy: "upstreams:\n" + upstream("a", "resume: {downloads: 3}"),
			peers: only(testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
				if r.Get("Range") == "" {
					c.Write(testpeer.Lines("HTTP/1.1 200 OK", `ETag: "v1"`, "Accept-Ranges: bytes", "Content-Length: 8") + "half")
					c.Linger()
				}
				c.Write(testpeer.Lines("HTTP/1.1 206 Partial Content", `ETag: "v1"`, "Content-Range: bytes 4-7/8", "Content-Length: 4") + "half")
			})),
			calls: func(w *world) { w.want(w.stream(`{"url":"http://{a}/file"}`), "200") },
		},
	}
}

// gated answers once the world's gate is open.
func gated(w *world) testpeer.Script {
	return testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) {
		select {
		case <-w.gate:
		case <-c.Done():
		}
		c.Write(testpeer.Response(200, "ok"))
	})
}

// several are calls beside each other.
func several() []scenario {
	return []scenario{
		{
			name: "batch", about: "A batch: one item is answered, one fails, one is refused, one is no request.",
			policy: "upstreams:\n" + upstream("a", "deny: {paths: [/admin]}") + upstream("closed"), peers: only(testpeer.OK),
			calls: func(w *world) {
				w.want(w.batch(`{"max_concurrency":1,"requests":[{"url":"http://{a}/"},{"url":"http://{closed}/",`+once+`},{"url":"http://{a}/admin"},{"url":"nonsense"}]}`), "200")
			},
		},
		{
			name: "queue", about: "Two calls, one place: the second waits.",
			policy: "upstreams:\n" + upstream("a", "limits: {concurrent: 1, queue: 1}"),
			peers:  map[string]func(*world) testpeer.Script{"a": gated},
			calls: func(w *world) {
				ended := make(chan string, 2)
				go func() { ended <- w.fetch(`{"url":"http://{a}/first"}`) }()
				w.peers["a"].AwaitRequests(1)
				go func() { ended <- w.fetch(`{"url":"http://{a}/second"}`) }()
				w.gauge(`fetchsvc_queue_waiting{fetchsvc_upstream="a"} 1`)
				close(w.gate)
				w.want(<-ended, "200")
				w.want(<-ended, "200")
			},
		},
		{
			name: "pool_full", about: "One call, no place, and none to wait in.",
			policy: "upstreams:\n" + upstream("a", "limits: {concurrent: 1, queue: 0}"),
			peers:  map[string]func(*world) testpeer.Script{"a": gated},
			calls: func(w *world) {
				ended := make(chan string, 1)
				go func() { ended <- w.fetch(`{"url":"http://{a}/first"}`) }()
				w.peers["a"].AwaitRequests(1)
				w.want(w.fetch(`{"url":"http://{a}/second",`+once+`}`), "POOL_FULL")
				close(w.gate)
				w.want(<-ended, "200")
			},
		},
	}
}

// Traceparents of callers who have their traces written, and who have not.
const (
	written    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	notWritten = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// under has all that w calls be under a trace context.
func (w *world) under(traceparent string) {
	w.header.Set("traceparent", traceparent)
	w.header.Set("tracestate", "vendor=opaque")
	w.header.Set("baggage", "tenant=acme")
}

// sampling is about which traces are written.
func sampling() []scenario {
	ok := map[string]func(*world) testpeer.Script{"a": always(testpeer.OK), "b": always(testpeer.OK)}
	return []scenario{
		{
			name: "parent", about: "Two calls under a caller's span: of the trace that is written there, and of one that is not, which leaves nothing.",
			policy: "upstreams:\n" + upstream("a"), peers: ok,
			calls: func(w *world) {
				w.under(written)
				w.want(w.fetch(`{"url":"http://{a}/written"}`), "200")
				w.under(notWritten)
				w.want(w.fetch(`{"url":"http://{a}/not"}`), "200")
			},
		},
		{
			name: "sample", about: "trace.sample is 1 for a, 0 for b: it is written of a alone, whatever the caller decided.",
			policy: "upstreams:\n" + upstream("a", "trace: {sample: 1}") + upstream("b", "trace: {sample: 0}"), peers: ok,
			calls: func(w *world) {
				for _, caller := range []string{written, notWritten} {
					w.under(caller)
					w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
					w.want(w.fetch(`{"url":"http://{b}/"}`), "200")
				}
			},
		},
		{
			name: "tail", about: "The sampler says no: what fails and what is slow is kept, what is refused too, and what is good is not.",
			policy: "upstreams:\n" + upstream("a", "trace: {keep_slower: 0s}") + upstream("b", "trace: {keep_slower: 1ms}") +
				upstream("closed") + upstream("c", "trace: {keep_failed: false}"),
			peers: map[string]func(*world) testpeer.Script{
				"a": always(testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
					if r.Target == "/failed" {
						c.Write(testpeer.Response(500, "no"))
						return
					}
					c.Write(testpeer.Response(200, "ok"))
				})),
				"b": always(testpeer.EachRequest(func(c *testpeer.RawConn, _ testpeer.Request) {
					c.Pause(20 * time.Millisecond)
					c.Write(testpeer.Response(200, "ok"))
				})),
				"c": always(testpeer.Answer(testpeer.Response(500, "no"))),
			},
			env: []string{"OTEL_TRACES_SAMPLER=always_off"},
			calls: func(w *world) {
				w.want(w.fetch(`{"url":"http://{a}/good"}`), "200")
				w.want(w.fetch(`{"url":"http://{a}/failed",`+once+`}`), "500")
				w.want(w.fetch(`{"url":"http://{b}/slow"}`), "200")
				w.want(w.fetch(`{"url":"http://{c}/failed",`+once+`}`), "500")
				w.want(w.fetch(`{"url":"http://{closed}/",`+once+`}`), "CONNECTION_REFUSED")
				w.want(w.fetch(`{"url":"http://elsewhere.example/"}`), "POLICY_DENIED")
				w.want(w.batch(`{"max_concurrency":1,"requests":[{"url":"http://{a}/good"},{"url":"http://{a}/failed",`+once+`}]}`), "200")
			},
		},
	}
}

// cancelled makes a call that is given up once it has reached a.
func (w *world) cancelled(in string) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan string, 1)
	go func() { ended <- w.fetchIn(ctx, in) }()
	w.peers["a"].AwaitRequests(1)
	cancel()
	w.want(strings.ToLower(<-ended), "cancel")
	w.peers["a"].AwaitEnded(1)
}

// unknown asks for what there is not.
func (w *world) unknown(method string) {
	if w.door == "rest" {
		w.want(w.post(w.Context(), method, "{}"), "NOT_FOUND")
		return
	}
	w.want(fmt.Sprint(w.api.Invoke(w.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})), "Unimplemented")
}

// explain asks what would become of a call.
func (w *world) explain(in string) {
	if w.door == "rest" {
		w.want(w.ask(w.Context(), http.MethodPost, "/v1/policy:explain", w.fill(in)), "settings")
		return
	}
	res, err := fetchsvcv1.NewPolicyServiceClient(w.api).Explain(w.outgoing(w.Context()), decoded(w, in, &fetchsvcv1.ExplainRequest{}))
	w.want(said(res, err), "settings")
}
