package docs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// counted is a Retry that counts its attempts: each asks it to go on, and the last
// in vain.
const counted = `n = []
class Retry(urllib3.Retry):
    def increment(self, *args, **kwargs):
        n.append(1)
        return super().increment(*args, **kwargs)
def attempts(method, **retries):
    try:
        urllib3.PoolManager().request(method, U, retries=Retry(**retries))
    except Exception:
        pass
    return len(n)
`

// retryCases are the arguments of urllib3's Retry. Those that bound retries count
// the attempts of a call that always fails.
func retryCases() []requestsCase {
	attempts := func(_ *testing.T, all []*fetchAnswer) any {
		return len(list(all[0].res["attempts"])) // of an answer or a problem
	}
	closed := func(t *testing.T, _ *requestsWorld) map[string]string {
		return map[string]string{"U": "http://" + testpeer.ClosedPort(t)}
	}
	unavailable := script(testpeer.Status("503"))
	reset := script(testpeer.ResetBeforeHead)
	const fast = `"backoff":{"base":"0s"}`
	ask := func(method, retry string) []string {
		return []string{`{"method":"` + method + `","url":"{U}/","retry":{` + retry + `,` + fast + `}}`}
	}
	return []requestsCase{
		overREST(requestsCase{row: "Retry: total", names: closed, look: attempts, fetch: ask("GET", `"max_attempts":3`), want: `3`,
			python: counted + `out = attempts("GET", total=2)`}),
		overREST(requestsCase{row: "Retry: connect", names: closed, look: attempts, fetch: ask("GET", `"max_attempts":6,"connect":1`), want: `2`,
			python: counted + `out = attempts("GET", total=5, connect=1)`}),
		overREST(requestsCase{row: "Retry: connect", names: closed, look: attempts, fetch: ask("POST", `"max_attempts":6,"connect":1`), want: `2`,
			python: counted + `out = attempts("POST", total=5, connect=1)`}),
		overREST(requestsCase{row: "Retry: read", names: reset, look: attempts, fetch: ask("GET", `"max_attempts":6,"read":1`), want: `2`,
			python: counted + `out = attempts("GET", total=5, read=1)`}),
		{row: "Retry: status", names: unavailable, look: attempts, fetch: ask("GET", `"max_attempts":6,"status":1`), want: `2`,
			python: counted + `out = attempts("GET", total=5, status=1, status_forcelist=[503])`},
		overREST(requestsCase{row: "Retry: other", names: script(testpeer.NotHTTP), look: attempts,
			fetch: ask("GET", `"max_attempts":6,"other":1`), want: `2`}),
		overREST(requestsCase{row: "Retry: allowed_methods, method_whitelist", names: reset, look: attempts,
			fetch: ask("POST", `"max_attempts":3`), want: `1`,
			python: counted + `out = attempts("POST", total=2)`}),
		overREST(requestsCase{row: "Retry: allowed_methods, method_whitelist", names: reset, look: attempts,
			fetch: ask("POST", `"max_attempts":3,"methods":["*"]`), want: `3`,
			python: counted + `out = attempts("POST", total=2, allowed_methods=None)`}),
		{row: "Retry: status_forcelist", names: script(testpeer.Status("500")), look: attempts,
			fetch: ask("GET", `"max_attempts":3,"statuses":[500]`), want: `3`,
			python: counted + `out = attempts("GET", total=2, status_forcelist=[500])`},
		{row: "Retry: status_forcelist", names: script(testpeer.Status("500")), look: attempts,
			fetch: ask("GET", `"max_attempts":3`), want: `1`,
			python: `r = urllib3.PoolManager().request("GET", U, retries=urllib3.Retry(total=2))
out = len(r.retries.history) + 1`},
		{row: "Retry: backoff_factor", names: unavailable, look: waits,
			fetch: []string{`{"url":"{U}/","retry":{"max_attempts":4,"backoff":{"base":"0.01s","jitter":"NONE"}}}`},
			want:  `["none","0.010s","0.020s","0.040s"]`},
		{row: "Retry: backoff_max", names: unavailable, look: waits,
			fetch: []string{`{"url":"{U}/","retry":{"max_attempts":4,"backoff":{"base":"0.01s","max":"0.02s","jitter":"NONE"}}}`},
			want:  `["none","0.010s","0.020s","0.020s"]`},
		{row: "Retry: backoff_jitter", names: unavailable, look: waited(20 * time.Millisecond),
			fetch: []string{`{"url":"{U}/","retry":{"max_attempts":2,"backoff":{"base":"0.04s","jitter":"EQUAL"}}}`}, want: `true`},
		{row: "Retry: respect_retry_after_header", names: throttled, look: waited(time.Second),
			fetch: ask("GET", `"max_attempts":2`), want: `true`,
			python: `import time
began = time.monotonic()
urllib3.PoolManager().request("GET", U, retries=urllib3.Retry(total=1))
out = time.monotonic() - began >= 1`},
		{row: "Retry: respect_retry_after_header", names: throttled, look: waits,
			fetch: ask("GET", `"max_attempts":2,"ignore_retry_after":true`), want: `["none","none"]`},
		{row: "Retry: redirect", names: script(testpeer.RedirectChain(302, 3)),
			fetch: []string{`{"url":"{U}/","redirects":{"max":2}}`}, kind: "TOO_MANY_REDIRECTS",
			python: `urllib3.PoolManager().request("GET", U, retries=urllib3.Retry(redirect=2))`, raises: "MaxRetryError"},
		{row: "Retry: history", names: script(testpeer.RedirectChain(302, 2)),
			fetch: []string{`{"url":"{U}/"}`},
			look: func(_ *testing.T, all []*fetchAnswer) any {
				return []any{each(all[0].res["history"], "status"), len(list(all[0].res["attempts"]))}
			},
			want: `[[302,302],3]`,
			python: `h = urllib3.PoolManager().request("GET", U).retries.history
out = [[e.status for e in h], len(h) + 1]`},
		{row: "Retry: remove_headers_on_redirect",
			names: func(t *testing.T, _ *requestsWorld) map[string]string {
				to := testpeer.Raw(t, testpeer.OK).URL
				return map[string]string{"U": testpeer.Raw(t, testpeer.RedirectTo(302, to)).URL}
			},
			fetch: []string{`{"url":"{U}/","headers":[{"name":"Authorization","value":"t"},{"name":"X-Key","value":"k"}]}`},
			look: func(_ *testing.T, all []*fetchAnswer) any {
				return each(all[0].res["history"], "dropped_headers")
			},
			want: `[["Authorization","X-Key"]]`},
		{row: "Exceptions: RetryError", names: unavailable, fetch: ask("GET", `"max_attempts":3,"statuses":[503]`),
			look: last(func(a *fetchAnswer) any {
				all := list(a.res["attempts"])
				stopped, _ := all[len(all)-1]["stopped"].(string)
				word, _, _ := strings.Cut(stopped, ":")
				return []any{a.res["status"], len(all), word}
			}),
			want: `[503,3,"MAX_ATTEMPTS"]`,
			python: `s = requests.Session()
s.mount("http://", requests.adapters.HTTPAdapter(max_retries=urllib3.Retry(total=2, status_forcelist=[503])))
s.get(U)`, raises: "RetryError"},
	}
}

// overREST makes c's one call over REST alone: a failure has its attempts there in
// full, and no door finds what another left.
func overREST(c requestsCase) requestsCase {
	call, look := c.fetch[0], c.look
	c.do = func(t *testing.T, w *requestsWorld, names map[string]string) any {
		return look(t, []*fetchAnswer{w.fetch(t, fill(names, call))})
	}
	c.fetch, c.look = nil, nil
	return c
}

// throttled asks each of three clients once to be left alone for a second.
func throttled(t *testing.T, w *requestsWorld) map[string]string {
	wait, ok := testpeer.Response(429, "", "Retry-After: 1"), testpeer.Response(200, "")
	return script(testpeer.Answer(wait, ok, wait, ok, wait, ok))(t, w)
}

// waits are those before each attempt.
func waits(_ *testing.T, all []*fetchAnswer) any {
	var got []any
	for _, a := range list(all[0].res["attempts"]) {
		wait, waited := a["wait"]
		if !waited {
			wait = "none"
		}
		got = append(got, wait)
	}
	return got
}

// waited says whether the second attempt waited that long.
func waited(atLeast time.Duration) func(*testing.T, []*fetchAnswer) any {
	return last(func(a *fetchAnswer) any {
		wait, _ := list(a.res["attempts"])[1]["wait"].(string)
		d, err := time.ParseDuration(wait)
		return err == nil && d >= atLeast
	})
}
