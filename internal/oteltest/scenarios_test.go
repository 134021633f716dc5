package oteltest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// scenario is a few calls and what they are told of.
type scenario struct {
	// name is that of the golden file, and about its first line.
	name, about string
	// policy is the policy file, with {NAME} for a peer's address.
	policy string
	peers  map[string]func(*world) testpeer.Script
	// also starts what no script can be.
	also  func(*world)
	env   []string
	args  []string
	calls func(*world)
	// wire adds what the peers were told of traces.
	wire bool
}

// upstream is one of a policy file, at a peer of the same name.
func upstream(name string, more ...string) string {
	return "  - name: " + name + "\n    hosts: [\"{" + name + "}\"]\n    schemes: [http]\n    unsafe_allow_addresses: [127.0.0.1]\n" +
		"    retry: {max_attempts: 2, backoff: {base: 1ms, max: 1ms}}\n    " + strings.Join(more, "\n    ") + "\n"
}

// always is a script that needs to know nothing.
func always(s testpeer.Script) func(*world) testpeer.Script {
	return func(*world) testpeer.Script { return s }
}

// only are peers of one, `a`.
func only(s testpeer.Script) map[string]func(*world) testpeer.Script {
	return map[string]func(*world) testpeer.Script{"a": always(s)}
}

// once is for calls that are not tried again.
const once = `"retry":{"max_attempts":1}`

// get is a call to a that must end in words.
func get(in, words string) func(*world) {
	return func(w *world) { w.want(w.fetch(`{`+in+`}`), words) }
}

// want holds that an answer has words in it.
func (w *world) want(got, words string) {
	w.Helper()
	if !strings.Contains(got, words) {
		w.Errorf("by %s: got %s, want %q in it", w.door, got, words)
	}
}

func scenarios() []scenario {
	var all []scenario
	for _, some := range [][]scenario{plain(), failures(), refusals(), credentials(), transfers(), several(), sampling(), propagation()} {
		all = append(all, some...)
	}
	return all
}

// plain are calls that are answered.
func plain() []scenario {
	return []scenario{
		{
			name: "ok", about: "GET of a path that a route has, with a query, 200.",
			policy: "upstreams:\n" + upstream("a", "routes:", "  - {paths: ['/items/*']}"),
			peers:  only(testpeer.OK),
			calls:  get(`"url":"http://{a}/items/42?user=ada&sig=abc"`, "200"),
		},
		{
			name: "post", about: "POST with a body.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: get(`"method":"POST","url":"http://{a}/","text":"hello"`, "200"),
		},
		{
			name: "method", about: "A method that the conventions do not know.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: get(`"method":"PURGE","url":"http://{a}/"`, "200"),
		},
		{
			name: "reused", about: "Two calls, one connection.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: func(w *world) {
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
			},
		},
		{
			name: "name", about: "A host by name, through a wildcard: the attempt has looked it up.",
			policy: "upstreams:\n  - name: a\n    hosts: ['*.localhost:{a.port}', 'localhost:{a.port}']\n    schemes: [http]\n    unsafe_allow_addresses: [127.0.0.0/8, '::1']\n",
			peers:  only(testpeer.OK),
			calls:  get(`"url":"http://localhost:{a.port}/"`, "200"),
		},
		{
			name: "tls", about: "HTTP/2 over TLS.",
			policy: "upstreams:\n  - {name: a, hosts: ['{a}'], unsafe_allow_addresses: [127.0.0.1]}\n",
			also: func(w *world) {
				ca := testpeer.NewCA(w)
				file := filepath.Join(w.TempDir(), "ca.pem")
				if err := os.WriteFile(file, ca.PEM(), 0o600); err != nil {
					w.Fatal(err)
				}
				w.env = append(w.env, "SSL_CERT_FILE="+file)
				w.place("a", strings.TrimPrefix(testpeer.TLS(w, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write([]byte("ok"))
				}), ca.Issue(testpeer.CertOpts{}), testpeer.TLSOpts{}), "https://"))
			},
			calls: get(`"url":"https://{a}/"`, "200"),
		},
		{
			name: "caller", about: "A caller who proves who it is, and a rule in report mode that would have refused the call.",
			policy: "callers: [{name: billing, api_key: {secret: env:KEY_SHA256}}]\nupstreams:\n" + upstream("a", "deny: {paths: [/admin/**], mode: report}"),
			peers:  only(testpeer.OK),
			calls: func(w *world) {
				w.header.Set("authorization", "Bearer "+callerKey)
				w.want(w.fetch(`{"url":"http://{a}/admin/x"}`), "200")
			},
		},
		{
			name: "proxy", about: "Through the upstream's proxy.",
			policy: "upstreams:\n" + upstream("a", "proxy: {url: 'http://{proxy}'}"),
			peers:  only(testpeer.OK),
			also:   func(w *world) { w.place("proxy", testpeer.NewForward(w, nil, "", "").Addr) },
			calls:  get(`"url":"http://{a}/"`, "200"),
		},
		{
			name: "explain", about: "RPCs that make no call.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: func(w *world) { w.explain(`{"request":{"url":"http://{a}/"}}`) },
		},
	}
}

// failures are calls that come to nothing, at first or in the end.
func failures() []scenario {
	const retried = `"url":"http://{a}/"`
	return []scenario{
		{
			name: "retry", about: "503, and 200 on the second attempt.", policy: "upstreams:\n" + upstream("a"),
			peers: only(testpeer.Answer(testpeer.Response(503, "later"), testpeer.Response(200, "ok"))),
			calls: get(retried, "200"),
		},
		{
			name: "retries_spent", about: "503, twice: what came last is the answer.", policy: "upstreams:\n" + upstream("a"),
			peers: only(testpeer.Answer(testpeer.Response(503, "later"))),
			calls: get(retried, "503"),
		},
		{
			name: "reset", about: "The connection is reset before an answer, twice.", policy: "upstreams:\n" + upstream("a"),
			peers: only(testpeer.ResetBeforeHead),
			calls: get(retried, "CONNECTION_RESET"),
		},
		{
			name: "refused", about: "Nobody listens.", policy: "upstreams:\n" + upstream("closed"),
			calls: get(`"url":"http://{closed}/",`+once, "CONNECTION_REFUSED"),
		},
		{
			name: "stale", about: "A connection from before is found dead, and the request sent again on another.",
			policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.StaleAfter(1)),
			calls: func(w *world) {
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
				w.want(w.fetch(`{"url":"http://{a}/"}`), "200")
			},
		},
		{
			name: "not_found", about: "404: an answer as others to the caller, an error to the attempt.", policy: "upstreams:\n" + upstream("a"),
			peers: only(testpeer.Answer(testpeer.Response(404, "no"))),
			calls: get(`"url":"http://{a}/"`, "404"),
		},
		{
			name: "fail_on_status", about: "404, of a call that wants it to be an error.", policy: "upstreams:\n" + upstream("a"),
			peers: only(testpeer.Answer(testpeer.Response(404, "no"))),
			calls: get(`"url":"http://{a}/","fail_on_status":true`, "UPSTREAM_STATUS"),
		},
		{
			name: "attempt_timeout", about: "Two attempts that take too long.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.StallOnAccept),
			calls: get(retried+`,"timeouts":{"attempt":"1s"}`, "ATTEMPT_TIMEOUT"),
		},
		{
			name: "total_timeout", about: "A call that takes too long.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.StallOnAccept),
			calls: get(`"url":"http://{a}/","timeouts":{"total":"1s"}`, "TOTAL_TIMEOUT"),
		},
		{
			name: "cancelled", about: "The caller goes away.", policy: "upstreams:\n" + upstream("a"), peers: only(func(c *testpeer.RawConn) { c.ReadRequest(); c.Stall() }),
			calls: func(w *world) { w.cancelled(`{"url":"http://{a}/"}`) },
		},
		{
			name: "redirect", about: "A redirect to another host, which is another upstream.",
			policy: "upstreams:\n" + upstream("a") + upstream("b"),
			peers: map[string]func(*world) testpeer.Script{
				"a": func(w *world) testpeer.Script {
					return func(c *testpeer.RawConn) { testpeer.RedirectTo(302, w.fill("http://{b}/landed?token=confided"))(c) }
				},
				"b": always(testpeer.OK),
			},
			calls: get(`"url":"http://{a}/start"`, "200"),
		},
		{
			name: "redirect_stopped", about: "A redirect that may not be followed is the answer.",
			policy: "upstreams:\n" + upstream("a", "redirects: {mode: none}"),
			peers:  only(testpeer.RedirectTo(302, "/elsewhere")),
			calls:  get(`"url":"http://{a}/start"`, "302"),
		},
	}
}

// refusals are calls that do not get out.
func refusals() []scenario {
	return []scenario{
		{
			name: "denied", about: "A rule refuses the call.",
			policy: "upstreams:\n" + upstream("a", "deny: {paths: [/admin/**]}"), peers: only(testpeer.OK),
			calls: get(`"url":"http://{a}/admin/x"`, "POLICY_DENIED"),
		},
		{
			name: "unlisted", about: "No upstream has the host.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: get(`"url":"http://elsewhere.example/"`, "POLICY_DENIED"),
		},
		{
			name: "guard", about: "The guard refuses the address.",
			policy: "upstreams:\n  - {name: a, hosts: ['{a}'], schemes: [http]}\n", peers: only(testpeer.OK),
			calls: get(`"url":"http://{a}/"`, "ADDRESS_DENIED"),
		},
		{
			name: "guard_by_name", about: "The guard refuses what a name resolves to.",
			policy: "upstreams:\n  - {name: a, hosts: ['localhost:{a.port}'], schemes: [http]}\n", peers: only(testpeer.OK),
			calls: get(`"url":"http://localhost:{a.port}/"`, "ADDRESS_DENIED"),
		},
		{
			name: "not_granted", about: "The call asks for what policy grants by name.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: get(`"url":"http://{a}/","request_host":"inner.example"`, "NOT_GRANTED"),
		},
		{
			name: "invalid", about: "A request that is none.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: get(`"url":"nonsense"`, "INVALID_"),
		},
		{
			name: "no_identity", about: "The door refuses a caller who does not say who it is.",
			policy: "callers: [{name: billing, api_key: {secret: env:KEY_SHA256}}]\nupstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: get(`"url":"http://{a}/"`, "UNAUTHENTICATED"),
		},
		{
			name: "unknown_rpc", about: "RPCs, and pages, that there are none of.", policy: "upstreams:\n" + upstream("a"), peers: only(testpeer.OK),
			calls: func(w *world) {
				w.unknown("/fetchsvc.v1.FetchService/Nope")
				w.unknown("/invented.Service/Method")
			},
		},
		{
			name: "too_many", about: "More calls at once than the caller may make.",
			policy: "callers: [{name: billing, api_key: {secret: env:KEY_SHA256}, limits: {concurrent: 1}}]\nupstreams:\n" + upstream("a"),
			peers:  map[string]func(*world) testpeer.Script{"a": gated},
			calls: func(w *world) {
				w.header.Set("authorization", "Bearer "+callerKey)
				ended := make(chan string, 1)
				go func() { ended <- w.fetch(`{"url":"http://{a}/"}`) }()
				w.peers["a"].AwaitRequests(1)
				w.want(w.fetch(`{"url":"http://{a}/"}`), "TOO_MANY_CALLS")
				close(w.gate)
				w.want(<-ended, "200")
			},
		},
	}
}
