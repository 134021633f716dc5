package fetch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// TestCountersOverHops: a call has its attempts and its clocks once, however many
// hops it takes; how each hop is repeated is for its own upstream's policy.
func TestCountersOverHops(t *testing.T) {
	const two = `
upstreams:
  - name: a
    hosts: [a.test]
    schemes: [http]
    timeouts: {total: 20s}
    retry: {max_attempts: 4, status: 2, backoff: {base: 100ms, jitter: none}, retry_after: {max: 10s}}
  - name: b
    hosts: [b.test]
    schemes: [http]
    timeouts: {total: 5s}
    retry: {max_attempts: 3, statuses: [500], backoff: {base: 1s, jitter: none}, retry_after: {max: 4s}}
`
	next, other := answer(302, "Location: /next"), answer(302, "Location: http://b.test/")
	plays(t, map[string]play{
		"attempts": {
			retry: "max_attempts: 3", steps: []step{answer(503), next, answer(503), answer(503)}, want: "503 +100ms 302 > 503 +200ms 503 = 503",
			stopped: "MAX_ATTEMPTS",
		},
		"redirects are none": {
			retry: "max_attempts: 2", steps: []step{next, next, next, answer(503), answer(200)}, want: "302 > 302 > 302 > 503 +100ms 200 = 200",
		},
		"split counters": {
			text: two, steps: []step{answer(503), next, reset, answer(503), answer(503)}, want: "503 +100ms 302 > CONNECTION_RESET? +200ms 503 +400ms 503 = 503",
			stopped: "MAX_ATTEMPTS",
		},
		"one split counter": {
			text: two, steps: []step{answer(503), next, answer(502), next, answer(504)}, want: "503 +100ms 302 > 502 +200ms 302 > 504 = 504", stopped: "STATUS",
		},
		"each hop by its own policy": {
			text: two, steps: []step{answer(503), other, answer(500), answer(503)}, want: "503 +100ms 302 > 500 +2s 503 = 503",
		},
		"its bound is of the call": {
			text: two, steps: []step{answer(503), answer(503), other, answer(500)}, want: "503 +100ms 503 +200ms 302 > 500 = 500", stopped: "MAX_ATTEMPTS",
		},
		"waits that were asked for, in sum": {
			text: two, steps: []step{answer(503, "Retry-After: 3"), other, answer(500, "Retry-After: 2")}, want: "503 +3s 302 > 500 = 500", stopped: "RETRY_AFTER",
		},
		"the total of the next upstream": {
			text: two, steps: []step{other.taking(3 * sec), answer(500), answer(500)}, want: "302 > 500 +1s 500 = 500",
			stopped: "DEADLINE: the wait of 2s does not fit into the 1s that the call has left",
		},
		"it does not grow back": {
			text: two, steps: []step{other, answer(302, "Location: http://a.test/"), answer(200).taking(6 * sec)}, want: "302 > 302 > TOTAL_TIMEOUT? = TOTAL_TIMEOUT", safe: true,
		},
		"a wish over the next upstream's bound is cut": {
			text: two, tweak: asking(Retry{MaxAttempts: ptr(4), RetryAfterMax: ptr(9 * sec)}), steps: []step{answer(503), other, answer(500), answer(500)},
			want: "503 +100ms 302 > 500 +2s 500 = 500", stopped: "MAX_ATTEMPTS",
		},
		"POST made GET": {
			retry: "max_attempts: 2", tweak: post, steps: []step{answer(303, "Location: /next"), reset, answer(200)}, want: "303 > CONNECTION_RESET? +100ms 200 = 200",
		},
		// The POST was taken, and the answer is where it says: looking again is safe here,
		// and the call as a whole is not safe to repeat.
		"POST made GET, refused": {
			retry: "max_attempts: 2", tweak: post, steps: []step{answer(303, "Location: /next"), refused}, want: "303 > CONNECTION_REFUSED +100ms CONNECTION_REFUSED = CONNECTION_REFUSED",
			stopped: "MAX_ATTEMPTS",
		},
		"charged as what it was": {
			retry: "max_attempts: 3, read: 0", tweak: post, steps: []step{answer(303, "Location: /next"), refused, answer(200)}, want: "303 > CONNECTION_REFUSED +100ms 200 = 200",
		},
		"POST stays POST, refused": {
			retry: "max_attempts: 2", tweak: post, steps: []step{answer(307, "Location: /next"), refused, answer(200)}, want: "307 > CONNECTION_REFUSED +100ms 200 = 200",
		},
		"POST stays POST, reset": {
			retry: "max_attempts: 2", tweak: post, steps: []step{answer(308, "Location: /next"), reset}, want: "308 > CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE",
		},
	})
}

// TestRedirectModes: where redirects may lead, by policy and by the caller.
func TestRedirectModes(t *testing.T) {
	const upstreams = `
  - {name: a, hosts: [a.test, "sub.a.test"], schemes: [http]}
  - {name: b, hosts: [b.test], schemes: [http]}
`
	to := map[string]step{
		"same origin":   answer(302, "Location: /next"),
		"same upstream": answer(302, "Location: http://sub.a.test/"),
		"any":           answer(302, "Location: http://b.test/"),
		"nowhere":       answer(302, "Location: http://denied.test/"),
	}
	for mode, follows := range map[string][]string{
		"none": {}, "same_origin": {"same origin"}, "same_upstream": {"same origin", "same upstream"}, "any": {"same origin", "same upstream", "any"},
	} {
		for name, s := range to {
			p := play{
				text:  "defaults: {redirects: {mode: " + mode + "}}\nupstreams:" + upstreams,
				steps: []step{s, answer(200)}, want: "302 = 302",
			}
			switch {
			case slices.Contains(follows, name):
				p.want = "302 > 200 = 200"
			case name == "nowhere" && mode == "any":
				p.want = "302 = POLICY_DENIED"
			default:
				p.check = func(t *testing.T, _ *stage, res *Response) {
					if res.RedirectStopped != "mode" || res.Header.Get("Location") == "" {
						t.Errorf("stopped because of %q, want mode, and the redirect itself", res.RedirectStopped)
					}
				}
			}
			t.Run(mode+", "+name, p.run)
			if i := slices.Index(modeNames, mode); i >= 0 {
				p.text = "upstreams:" + upstreams
				p.tweak = func(r *Request) { r.Redirects.Mode = ptr(policy.RedirectMode(i)) }
				t.Run(mode+" by the caller, "+name, p.run)
			}
		}
	}
}

// modeNames are in the order of policy.RedirectMode.
var modeNames = []string{"none", "same_origin", "same_upstream", "any"}

// TestRedirectBounds: limits, and wishes over them.
func TestRedirectBounds(t *testing.T) {
	next := answer(302, "Location: /next")
	mode := func(m policy.RedirectMode) func(*Request) { return func(r *Request) { r.Redirects.Mode = &m } }
	limit := func(n int) func(*Request) { return func(r *Request) { r.Redirects.Limit = &n } }
	plays(t, map[string]play{
		"limit":                  {more: "redirects: {limit: 2}", steps: []step{next}, want: "302 > 302 > 302 = TOO_MANY_REDIRECTS"},
		"just":                   {more: "redirects: {limit: 2}", steps: []step{next, next, answer(200)}, want: "302 > 302 > 200 = 200"},
		"no limit":               {more: "redirects: {limit: 0}", steps: []step{next}, want: "302 = TOO_MANY_REDIRECTS"},
		"the default":            {steps: []step{next}, want: "302 > 302 > 302 > 302 > 302 > 302 > 302 > 302 > 302 > 302 > 302 = TOO_MANY_REDIRECTS"},
		"the caller's":           {tweak: limit(1), steps: []step{next}, want: "302 > 302 = TOO_MANY_REDIRECTS"},
		"the caller's, within":   {more: "redirects: {limit: 1, max: {limit: 2}}", tweak: limit(2), steps: []step{next, next, answer(200)}, want: "302 > 302 > 200 = 200"},
		"the caller's, over":     {more: "redirects: {limit: 1}", tweak: limit(2), steps: []step{next}, want: "= INVALID_REQUEST"},
		"mode within":            {more: "redirects: {mode: none, max: {mode: any}}", tweak: mode(policy.RedirectAny), steps: []step{next, answer(200)}, want: "302 > 200 = 200"},
		"mode over":              {more: "redirects: {mode: same_origin}", tweak: mode(policy.RedirectAny), steps: []step{next}, want: "= INVALID_REQUEST"},
		"not tried again":        {retry: "max_attempts: 3", more: "redirects: {limit: 1}", steps: []step{next}, want: "302 > 302 = TOO_MANY_REDIRECTS"},
		"redirects as a status":  {retry: "max_attempts: 2, statuses: [307]", steps: []step{answer(307, "Location: /next"), next, answer(200)}, want: "307 +100ms 302 > 200 = 200"},
		"a limit of the hop's":   {text: hopLimits, steps: []step{answer(302, "Location: http://b.test/"), answer(302, "Location: /b")}, want: "302 > 302 = TOO_MANY_REDIRECTS"},
		"a mode of the hop's":    {text: hopModes, steps: []step{answer(302, "Location: http://b.test/"), answer(302, "Location: /b")}, want: "302 > 302 = 302"},
		"a wish the hop narrows": {text: hopModes, tweak: mode(policy.RedirectAny), steps: []step{answer(302, "Location: http://b.test/"), answer(302, "Location: /b")}, want: "302 > 302 = 302"},
	})
	e, _ := staged(t, policyText("", ", redirects: {mode: same_origin, limit: 1}"), next)
	req := request(t, "GET", "http://a.test/")
	limit(2)(req)
	mode(policy.RedirectAny)(req)
	_, err := e.Do(t.Context(), req)
	var fields []string
	for _, v := range fault.From(err).Violations {
		fields = append(fields, v.Field)
	}
	if !slices.Equal(fields, []string{"redirects.mode", "redirects.max"}) {
		t.Errorf("%v names %v, want redirects.mode and redirects.max", err, fields)
	}
}

const (
	hopLimits = "upstreams:\n  - {name: a, hosts: [a.test], schemes: [http]}\n  - {name: b, hosts: [b.test], schemes: [http], redirects: {limit: 1}}\n"
	hopModes  = "upstreams:\n  - {name: a, hosts: [a.test], schemes: [http]}\n  - {name: b, hosts: [b.test], schemes: [http], redirects: {mode: none}}\n"
)

// TestHeadersOnRedirects: another origin gets what it may have, and history says
// what was left behind.
func TestHeadersOnRedirects(t *testing.T) {
	const two = `
upstreams:
  - {name: a, hosts: [a.test], schemes: [http], redirects: {keep_headers: [x-trace]}}
  - {name: b, hosts: [b.test], schemes: [http]}
`
	full := func(r *Request) {
		post(r)
		for _, name := range []string{"Authorization", "Cookie", "X-Trace", "X-Api-Key", "Accept", "Content-Type"} {
			r.Header.Set(name, "own")
		}
	}
	for name, c := range map[string]struct {
		redirect step
		dropped  []string
	}{
		"same origin":           {answer(307, "Location: /next"), nil},
		"same origin, GET":      {answer(303, "Location: /next"), []string{"Content-Type"}},
		"another origin":        {answer(307, "Location: http://b.test/"), []string{"Authorization", "Cookie", "X-Api-Key"}},
		"another origin, GET":   {answer(303, "Location: http://b.test/"), []string{"Authorization", "Content-Type", "Cookie", "X-Api-Key"}},
		"another scheme's port": {answer(307, "Location: http://a.test:80/"), nil}, // the same origin, written out
	} {
		t.Run(name, play{
			text: two, tweak: full, steps: []step{c.redirect, answer(200)}, want: fmt.Sprintf("%d > 200 = 200", c.redirect.status),
			check: func(t *testing.T, p *stage, res *Response) {
				if got := res.History[0].Dropped; !slices.Equal(got, c.dropped) {
					t.Errorf("history says that %v were dropped, want %v", got, c.dropped)
				}
				for name := range p.seen[0].header {
					_, kept := p.seen[1].header[name]
					if dropped := slices.Contains(c.dropped, name); kept == dropped {
						t.Errorf("%s: on the second hop %v, want %v", name, kept, !dropped)
					}
				}
			},
		}.run)
	}
}
