package fetch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

func plays(t *testing.T, all map[string]play) {
	for name, p := range all {
		t.Run(name, p.run)
	}
}

func ptr[T any](v T) *T { return &v }

// asking is a tweak that sets the request's retry.
func asking(r Retry) func(*Request) { return func(req *Request) { req.Retry = &r } }

// TestWaits: the exact waits of each jitter.
func TestWaits(t *testing.T) {
	fail := []step{answer(502), answer(502), answer(502), answer(200)}
	throttle := []step{answer(503), answer(429), answer(503), answer(200)}
	policy := func(jitter string) string {
		return "max_attempts: 4, backoff: {base: 100ms, max: 350ms, jitter: " + jitter + "}"
	}
	plays(t, map[string]play{
		"none":                {retry: policy("none"), steps: fail, want: "502 +100ms 502 +200ms 502 +350ms 200 = 200", why: []string{"status 502", "status 502", "status 502"}},
		"full, half":          {retry: policy("full"), random: .5, steps: throttle, want: "503 +50ms 429 +100ms 503 +175ms 200 = 200"},
		"full, least":         {retry: policy("full"), steps: throttle, want: "503 +0s 429 +0s 503 +0s 200 = 200"},
		"equal, half":         {retry: policy("equal"), random: .5, steps: fail, want: "502 +75ms 502 +150ms 502 +262.5ms 200 = 200"},
		"equal, least":        {retry: policy("equal"), steps: fail, want: "502 +50ms 502 +100ms 502 +175ms 200 = 200"},
		"decorrelated, least": {retry: policy("decorrelated"), steps: fail, want: "502 +100ms 502 +100ms 502 +100ms 200 = 200"},
		"decorrelated, half":  {retry: policy("decorrelated"), random: .5, steps: fail, want: "502 +200ms 502 +225ms 502 +225ms 200 = 200"},
		"auto, throttled":     {retry: policy("auto"), random: .5, steps: throttle, want: "503 +75ms 429 +150ms 503 +262.5ms 200 = 200"},
		"auto, failing":       {retry: policy("auto"), random: .5, steps: []step{reset, refused, answer(502), answer(200)}, want: "CONNECTION_RESET? +50ms CONNECTION_REFUSED +100ms 502 +175ms 200 = 200"},
		"auto is the default": {retry: "max_attempts: 3, backoff: {base: 100ms}", random: .5, steps: []step{answer(503), answer(502), answer(200)}, want: "503 +75ms 502 +100ms 200 = 200"},
		"no base":             {retry: "max_attempts: 3, backoff: {base: 0s}", random: .5, steps: fail, want: "502 +0s 502 +0s 502 = 502", stopped: "MAX_ATTEMPTS"},
		"the caller's": {
			retry: policy("none"), steps: fail, tweak: asking(Retry{Base: ptr(10 * ms), Max: ptr(20 * ms), Jitter: "equal"}),
			want: "502 +5ms 502 +10ms 502 +10ms 200 = 200",
		},
		"the caller's longest below policy's first": {
			retry: policy("none"), steps: fail, tweak: asking(Retry{Max: ptr(20 * ms)}), want: "502 +20ms 502 +20ms 502 +20ms 200 = 200",
		},
		"the caller's first above policy's longest": {
			retry: policy("none"), steps: fail, tweak: asking(Retry{Base: ptr(sec)}), want: "502 +1s 502 +1s 502 +1s 200 = 200",
		},
		"waits begin when attempts end": {
			retry: policy("none"), steps: []step{answer(503).taking(3 * sec), reset.taking(2 * sec), answer(200).taking(sec)},
			want: "503 +100ms CONNECTION_RESET? +200ms 200 = 200", why: []string{"status 503", "CONNECTION_RESET"},
		},
	})
}

// TestRetryAfterIsKept: no attempt is made earlier than asked, and none at all
// where that would be too late.
func TestRetryAfterIsKept(t *testing.T) {
	plays(t, map[string]play{
		"seconds":  {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: 3"), answer(200)}, want: "503 +3s 200 = 200", why: []string{"status 503, Retry-After"}},
		"ms":       {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After-Ms: 1500"), answer(200)}, want: "503 +1.5s 200 = 200", why: []string{"status 503, Retry-After-Ms"}},
		"Azure ms": {retry: "max_attempts: 2", steps: []step{answer(429, "X-Ms-Retry-After-Ms: 700"), answer(200)}, want: "429 +700ms 200 = 200"},
		// The clock of a bubble begins at midnight of 2000-01-01.
		"date":              {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: Sat, 01 Jan 2000 00:00:07 GMT"), answer(200)}, want: "503 +7s 200 = 200"},
		"date, RFC 850":     {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: Saturday, 01-Jan-00 00:00:07 GMT"), answer(200)}, want: "503 +7s 200 = 200"},
		"date, asctime":     {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: Sat Jan  1 00:00:07 2000"), answer(200)}, want: "503 +7s 200 = 200"},
		"date by its clock": {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: Mon, 01 Jan 2024 10:00:05 GMT", "Date: Mon, 01 Jan 2024 10:00:00 GMT"), answer(200)}, want: "503 +5s 200 = 200"},
		"date in the past":  {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: Fri, 31 Dec 1999 00:00:00 GMT"), answer(200)}, want: "503 +100ms 200 = 200"},
		"spent quota":       {retry: "max_attempts: 2", steps: []step{answer(429, "X-RateLimit-Reset: 4"), answer(200)}, want: "429 +4s 200 = 200", why: []string{"status 429, X-Ratelimit-Reset"}},
		"garbage":           {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: soon"), answer(200)}, want: "503 +100ms 200 = 200", why: []string{"status 503"}},
		"less than backoff": {retry: "max_attempts: 2, backoff: {base: 4s, jitter: none}", steps: []step{answer(503, "Retry-After: 1"), answer(200)}, want: "503 +4s 200 = 200"},
		"jitter comes on top": {
			retry: "max_attempts: 2", random: .5, steps: []step{answer(503, "Retry-After: 3"), answer(200)}, want: "503 +3.05s 200 = 200",
		},
		"jitter is a tenth at most": {
			retry: "max_attempts: 2, backoff: {base: 4s, jitter: full}", random: .5, steps: []step{answer(503, "Retry-After: 3"), answer(200)}, want: "503 +3.15s 200 = 200",
		},
		"ignored": {retry: "max_attempts: 2, retry_after: {ignore: true}", steps: []step{answer(503, "Retry-After: 3"), answer(200)}, want: "503 +100ms 200 = 200", why: []string{"status 503"}},
		"ignored by the caller": {
			retry: "max_attempts: 2", tweak: asking(Retry{IgnoreRetryAfter: true}), steps: []step{answer(503, "Retry-After: 3"), answer(200)}, want: "503 +100ms 200 = 200",
		},
		"over the cap": {
			retry: "max_attempts: 2, retry_after: {max: 5s}", steps: []step{answer(503, "Retry-After: 6")}, want: "503 = 503",
			stopped: "RETRY_AFTER: Retry-After asks for a wait of 6s, and calls wait 5s for that at most",
		},
		"at the cap": {retry: "max_attempts: 2, retry_after: {max: 5s}", steps: []step{answer(503, "Retry-After: 5"), answer(200)}, want: "503 +5s 200 = 200"},
		"over the cap in sum": {
			retry: "max_attempts: 4, retry_after: {max: 5s}", steps: []step{answer(503, "Retry-After: 3"), answer(429, "Retry-After: 2"), answer(503, "Retry-After: 1")},
			want: "503 +3s 429 +2s 503 = 503", stopped: "RETRY_AFTER",
		},
		"over the caller's cap": {
			retry: "max_attempts: 2", tweak: asking(Retry{RetryAfterMax: ptr(2 * sec)}), steps: []step{answer(503, "Retry-After: 3")}, want: "503 = 503", stopped: "RETRY_AFTER",
		},
		"no cap is the default of a minute": {retry: "max_attempts: 2", steps: []step{answer(503, "Retry-After: 61")}, want: "503 = 503", stopped: "RETRY_AFTER"},
		"a hundred years":                   {retry: "max_attempts: 2", steps: []step{answer(429, "Retry-After: 99999999999999999999")}, want: "429 = 429", stopped: "RETRY_AFTER"},
		"over the deadline": {
			retry: "max_attempts: 2", more: "timeouts: {total: 10s}", steps: []step{answer(503, "Retry-After: 10").taking(sec)}, want: "503 = 503",
			stopped: "DEADLINE: the wait of 10s does not fit into the 9s that the call has left",
		},
		"413 comes back": {retry: "max_attempts: 2", tweak: post, steps: []step{answer(413, "Retry-After: 2"), answer(200)}, want: "413 +2s 200 = 200"},
		"413 does not":   {retry: "max_attempts: 2", tweak: post, steps: []step{answer(413)}, want: "413 = 413"},
		"413 ignored":    {retry: "max_attempts: 2, retry_after: {ignore: true}", tweak: post, steps: []step{answer(413, "Retry-After: 2")}, want: "413 = 413"},
		"200 with one":   {retry: "max_attempts: 2", steps: []step{answer(200, "Retry-After: 2")}, want: "200 = 200"},
	})
}

// TestDeadline: a wait that does not fit is not begun.
func TestDeadline(t *testing.T) {
	within := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
	}
	slow := "max_attempts: 3, backoff: {base: 2s, jitter: none}"
	plays(t, map[string]play{
		"total":                {retry: slow, more: "timeouts: {total: 2s}", steps: []step{answer(503)}, want: "503 = 503", stopped: "DEADLINE"},
		"total, a failure":     {retry: slow, more: "timeouts: {total: 2s}", steps: []step{reset}, want: "CONNECTION_RESET? = CONNECTION_RESET", stopped: "DEADLINE", safe: true, after: 2 * sec},
		"total, POST":          {retry: slow, more: "timeouts: {total: 2s}", tweak: post, steps: []step{refused}, want: "CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "DEADLINE", safe: true, after: 2 * sec},
		"the caller's total":   {retry: slow, tweak: func(r *Request) { r.Timeouts.Total = sec }, steps: []step{answer(503)}, want: "503 = 503", stopped: "DEADLINE"},
		"the caller's own":     {retry: slow, ctx: within(5 * sec), steps: []step{answer(503)}, want: "503 +2s 503 = 503", stopped: "DEADLINE: the wait of 4s does not fit into the 3s that the call has left"},
		"it just fits":         {retry: slow, more: "timeouts: {total: 2001ms}", steps: []step{answer(503), answer(200)}, want: "503 +2s 200 = 200"},
		"the last runs out":    {retry: slow, more: "timeouts: {total: 3s}", steps: []step{answer(503), answer(200).taking(5 * sec)}, want: "503 +2s TOTAL_TIMEOUT? = TOTAL_TIMEOUT", safe: true},
		"the first runs out":   {retry: slow, more: "timeouts: {total: 3s}", steps: []step{answer(200).taking(5 * sec)}, want: "TOTAL_TIMEOUT? = TOTAL_TIMEOUT", safe: true},
		"attempts run out":     {retry: slow, more: "timeouts: {total: 20s, attempt: 3s}", steps: []step{answer(200).taking(5 * sec), answer(200)}, want: "ATTEMPT_TIMEOUT? +2s 200 = 200"},
		"of several attempts":  {retry: slow, more: "timeouts: {total: 9s, attempt: 3s}", steps: []step{answer(200).taking(5 * sec)}, want: "ATTEMPT_TIMEOUT? +2s ATTEMPT_TIMEOUT? = ATTEMPT_TIMEOUT", stopped: "DEADLINE", safe: true, after: 4 * sec},
		"the caller's runs on": {retry: slow, ctx: within(3 * sec), steps: []step{answer(503), answer(200).taking(5 * sec)}, want: "503 +2s TOTAL_TIMEOUT? = TOTAL_TIMEOUT", safe: true},
	})
}

// TestCancelledWait: a caller that goes away is not waited for.
func TestCancelledWait(t *testing.T) {
	soon := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(1500*ms, cancel)
		return ctx, cancel
	}
	plays(t, map[string]play{
		"in the wait":    {retry: "max_attempts: 3, backoff: {base: 1s, jitter: none}", ctx: soon, steps: []step{answer(503)}, want: "503 +1s 503 = CANCELLED", elapsed: 1500 * ms},
		"in the attempt": {retry: "max_attempts: 3", ctx: soon, steps: []step{answer(503), answer(200).taking(9 * sec)}, want: "503 +100ms CANCELLED? = CANCELLED"},
	})
}

// TestCounters: the split counters, each on its own and together.
func TestCounters(t *testing.T) {
	all := []step{refused, reset, answer(503), garbage, answer(200)}
	plays(t, map[string]play{
		"any":       {retry: "max_attempts: 5", steps: all, want: "CONNECTION_REFUSED +100ms CONNECTION_RESET? +200ms 503 +400ms BAD_RESPONSE? +800ms 200 = 200"},
		"most":      {retry: "max_attempts: 4", steps: all, want: "CONNECTION_REFUSED +100ms CONNECTION_RESET? +200ms 503 +400ms BAD_RESPONSE? = BAD_RESPONSE", stopped: "MAX_ATTEMPTS: 4 attempts were made", safe: true},
		"connect":   {retry: "max_attempts: 5, connect: 1", steps: []step{refused, refused}, want: "CONNECTION_REFUSED +100ms CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "CONNECT: 1 retries were made for this, which is their bound", safe: true},
		"connect 0": {retry: "max_attempts: 5, connect: 0", steps: []step{refused}, want: "CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "CONNECT", safe: true},
		"read":      {retry: "max_attempts: 5, read: 1", steps: []step{refused, reset, refused, reset}, want: "CONNECTION_REFUSED +100ms CONNECTION_RESET? +200ms CONNECTION_REFUSED +400ms CONNECTION_RESET? = CONNECTION_RESET", stopped: "READ", safe: true},
		"status":    {retry: "max_attempts: 5, status: 2", steps: []step{answer(503), reset, answer(502), answer(503)}, want: "503 +100ms CONNECTION_RESET? +200ms 502 +400ms 503 = 503", stopped: "STATUS: 2 retries were made for this, which is their bound"},
		"status 0":  {retry: "max_attempts: 5, status: 0", steps: []step{reset, answer(503)}, want: "CONNECTION_RESET? +100ms 503 = 503", stopped: "STATUS"},
		"other":     {retry: "max_attempts: 5, other: 1", steps: []step{garbage, answer(503), garbage}, want: "BAD_RESPONSE? +100ms 503 +200ms BAD_RESPONSE? = BAD_RESPONSE", stopped: "OTHER", safe: true},
		"the caller's": {
			retry: "max_attempts: 5", tweak: asking(Retry{Connect: ptr(0), Read: ptr(0), Status: ptr(1), Other: ptr(0)}),
			steps: []step{answer(503), refused}, want: "503 +100ms CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "CONNECT", safe: true,
		},
		"the caller's attempts": {retry: "max_attempts: 5", tweak: asking(Retry{MaxAttempts: ptr(2)}), steps: []step{answer(503)}, want: "503 +100ms 503 = 503", stopped: "MAX_ATTEMPTS: 2 attempts were made"},
		"within the ceiling":    {retry: "max_attempts: 1, max: {max_attempts: 3}", tweak: asking(Retry{MaxAttempts: ptr(3)}), steps: []step{answer(503)}, want: "503 +100ms 503 +200ms 503 = 503", stopped: "MAX_ATTEMPTS"},
		"one attempt":           {retry: "max_attempts: 5", tweak: asking(Retry{MaxAttempts: ptr(1)}), steps: []step{answer(503)}, want: "503 = 503"},
		"policy does not retry": {retry: "", steps: []step{reset}, want: "CONNECTION_RESET? = CONNECTION_RESET", safe: true},
	})
}

// TestWhatIsTriedAgain: statuses, methods and kinds, by default, by policy and by
// the caller.
func TestWhatIsTriedAgain(t *testing.T) {
	all := map[string]play{
		"501":                  {retry: "max_attempts: 2", steps: []step{answer(501)}, want: "501 = 501"},
		"500":                  {retry: "max_attempts: 2", steps: []step{answer(500)}, want: "500 = 500"},
		"404":                  {retry: "max_attempts: 2", steps: []step{answer(404)}, want: "404 = 404"},
		"500 by policy":        {retry: "max_attempts: 2, statuses: [500]", steps: []step{answer(500), answer(503)}, want: "500 +100ms 503 = 503"},
		"409 by the caller":    {retry: "max_attempts: 2", tweak: asking(Retry{Statuses: []int{409}}), steps: []step{answer(409), answer(503)}, want: "409 +100ms 503 = 503"},
		"POST, 503":            {retry: "max_attempts: 2", tweak: post, steps: []step{answer(503)}, want: "503 = 503", stopped: "NOT_REPEATABLE: POST may have had an effect, and there is no idempotency key"},
		"POST, 429":            {retry: "max_attempts: 2", tweak: post, steps: []step{answer(429), answer(200)}, want: "429 +100ms 200 = 200"},
		"POST, reset":          {retry: "max_attempts: 2", tweak: post, steps: []step{reset}, want: "CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE"},
		"POST, refused":        {retry: "max_attempts: 3", tweak: post, steps: []step{refused, refused, answer(200)}, want: "CONNECTION_REFUSED +100ms CONNECTION_REFUSED +200ms 200 = 200"},
		"POST, refused behind": {retry: "max_attempts: 3", tweak: post, steps: []step{refused, reset}, want: "CONNECTION_REFUSED +100ms CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE"},
		// A 429 says that nothing was done, so that what follows is as if it were first.
		"POST, refused behind 429": {retry: "max_attempts: 3", tweak: post, steps: []step{answer(429), refused, answer(200)}, want: "429 +100ms CONNECTION_REFUSED +200ms 200 = 200"},
		"POST, refused behind 429, to the end": {
			retry: "max_attempts: 2", tweak: post, steps: []step{answer(429), refused}, want: "429 +100ms CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "MAX_ATTEMPTS", safe: true,
		},
		"POST, refused behind 413": {retry: "max_attempts: 2", tweak: post, steps: []step{answer(413, "Retry-After: 0"), refused}, want: "413 +100ms CONNECTION_REFUSED = CONNECTION_REFUSED", stopped: "MAX_ATTEMPTS", safe: true},
		"POST by policy":           {retry: "max_attempts: 2, methods: [POST]", tweak: post, steps: []step{reset, answer(200)}, want: "CONNECTION_RESET? +100ms 200 = 200"},
		"any by policy":            {retry: "max_attempts: 2, methods: ['*']", tweak: post, steps: []step{answer(503), answer(200)}, want: "503 +100ms 200 = 200"},
		"POST by the caller": {
			retry: "max_attempts: 2", steps: []step{reset, answer(200)}, want: "CONNECTION_RESET? +100ms 200 = 200",
			tweak: func(r *Request) { post(r); r.Retry = &Retry{Methods: []string{"POST"}} },
		},
		"GET excluded by policy":     {retry: "max_attempts: 2, methods: [PUT]", steps: []step{answer(503)}, want: "503 = 503", stopped: "NOT_REPEATABLE"},
		"GET excluded by the caller": {retry: "max_attempts: 2", tweak: asking(Retry{Methods: []string{"PUT"}}), steps: []step{answer(503)}, want: "503 = 503", stopped: "NOT_REPEATABLE"},
		"kinds by policy, other": {
			retry: "max_attempts: 2, kinds: [CONNECTION_REFUSED]", steps: []step{reset}, want: "CONNECTION_RESET? = CONNECTION_RESET",
			stopped: "NOT_RETRIED: policy does not try again after CONNECTION_RESET", safe: true,
		},
		"kinds by policy, this": {retry: "max_attempts: 2, kinds: [CONNECTION_REFUSED]", steps: []step{refused, answer(200)}, want: "CONNECTION_REFUSED +100ms 200 = 200"},
		"kinds leave statuses":  {retry: "max_attempts: 2, kinds: [CONNECTION_REFUSED]", steps: []step{answer(503), answer(200)}, want: "503 +100ms 200 = 200"},
	}
	for _, s := range []int{408, 425, 429, 502, 503, 504} {
		all[fmt.Sprint(s)] = play{retry: "max_attempts: 2", steps: []step{answer(s), answer(200)}, want: fmt.Sprint(s) + " +100ms 200 = 200"}
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"} {
		all[method] = play{
			retry: "max_attempts: 2", tweak: func(r *Request) { r.Method = method }, steps: []step{reset, answer(200)},
			want: "CONNECTION_RESET? +100ms 200 = 200",
		}
	}
	for _, method := range []string{"POST", "PATCH", "PROPFIND", "get"} {
		all[method] = play{
			retry: "max_attempts: 2", tweak: func(r *Request) { r.Method = method }, steps: []step{reset},
			want: "CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE",
		}
	}
	for _, k := range fault.Kinds() {
		p := play{retry: "max_attempts: 2", steps: []step{{kind: k}, answer(200)}, want: string(k) + " = " + string(k), stopped: "NOT_RETRIED"}
		switch {
		case k == fault.Cancelled || k == fault.TotalTimeout:
			p.stopped, p.safe = "", k == fault.TotalTimeout
		case k == fault.PoolFull || k == fault.PoolTimeout:
			p.safe = true
		case k.OfAttempt() && k.MayPass():
			p.stopped, p.want = "", string(k)+" +100ms 200 = 200"
		}
		all[string(k)] = p
	}
	plays(t, all)
}

// TestTheLastAnswerIsHandedOn: what is left when attempts run out is the upstream's
// own answer, of the last attempt, whole.
func TestTheLastAnswerIsHandedOn(t *testing.T) {
	play{
		retry: "max_attempts: 3",
		steps: []step{{status: 503, body: "first"}, {status: 502, body: "second"}, {status: 504, body: "third", fields: []string{"X-Own: kept"}}},
		want:  "503 +100ms 502 +200ms 504 = 504", why: []string{"status 503", "status 502"}, stopped: "MAX_ATTEMPTS: 3 attempts were made",
		check: func(t *testing.T, _ *stage, res *Response) {
			if string(res.Body) != "third" || res.Header.Get("X-Own") != "kept" {
				t.Errorf("got %q with %v, want the third answer", res.Body, res.Header)
			}
		},
	}.run(t)
}

// TestBounds: a request that asks for more than policy grants is refused, and the
// field named.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		ask    Retry
		fields []string
	}{
		"attempts":    {Retry{MaxAttempts: ptr(4)}, []string{"retry.max_attempts"}},
		"retry after": {Retry{RetryAfterMax: ptr(61 * sec)}, []string{"retry.retry_after_max"}},
		"both":        {Retry{MaxAttempts: ptr(4), RetryAfterMax: ptr(61 * sec)}, []string{"retry.max_attempts", "retry.retry_after_max"}},
		"reads":       {Retry{Read: ptr(2)}, []string{"retry.read"}},
		"methods":     {Retry{Methods: []string{"*", "GET"}}, []string{"retry.methods"}},
		"waits":       {Retry{Base: ptr(2 * sec), Max: ptr(sec)}, []string{"retry.backoff.base"}},
	} {
		t.Run(name, func(t *testing.T) {
			play{
				retry: "max_attempts: 2, read: 1, max: {max_attempts: 3}", tweak: asking(c.ask), steps: []step{answer(200)}, want: "= INVALID_REQUEST",
			}.run(t)
			e, p := staged(t, policyText("max_attempts: 2, read: 1, max: {max_attempts: 3}", ""), answer(200))
			req := request(t, "GET", "http://a.test/")
			req.Retry = &c.ask
			_, err := e.Do(t.Context(), req)
			var fields []string
			for _, v := range fault.From(err).Violations {
				fields = append(fields, v.Field)
			}
			if !slices.Equal(fields, c.fields) || len(p.seen) > 0 {
				t.Errorf("%v names %v after %d requests, want %v and none", err, fields, len(p.seen), c.fields)
			}
		})
	}
}
