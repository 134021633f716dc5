package fetch

import (
	"regexp"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// aUUID is version 4 of RFC 9562.
var aUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// keys are the values of a header on each attempt; "" where there was none.
func keys(t *testing.T, p *stage, header string) (all []string) {
	t.Helper()
	for i, s := range p.seen {
		values := s.header[header]
		if len(values) > 1 {
			t.Errorf("attempt %d has %d keys: %q", i+1, len(values), values)
		}
		all = append(all, s.header.Get(header))
	}
	return all
}

// wantKeys holds what each attempt carried: "same" stands for one generated key.
func wantKeys(header string, want ...string) func(*testing.T, *stage, *Response) {
	return func(t *testing.T, p *stage, _ *Response) {
		t.Helper()
		made := ""
		for i, got := range keys(t, p, header) {
			switch {
			case i >= len(want):
				t.Errorf("attempt %d was not expected", i+1)
			case want[i] == "same" && made == "" && aUUID.MatchString(got):
				made = got
			case want[i] == "same" && got != made, want[i] != "same" && got != want[i]:
				t.Errorf("attempt %d carries %s: %q, want %q (%s)", i+1, header, got, want[i], made)
			}
		}
	}
}

// TestIdempotencyKey: what carries a key is repeated, whatever it may have left
// behind, and carries the same each time.
func TestIdempotencyKey(t *testing.T) {
	const generate = "max_attempts: 3, idempotency_key: {generate: true}"
	sent := func(key string) func(*Request) {
		return func(r *Request) { post(r); r.IdempotencyKey = key }
	}
	patch := func(r *Request) { post(r); r.Method = "PATCH" }
	plays(t, map[string]play{
		"without one, POST is made once": {
			retry: "max_attempts: 3", tweak: post, steps: []step{reset}, want: "CONNECTION_RESET? = CONNECTION_RESET",
			stopped: "NOT_REPEATABLE", check: wantKeys("Idempotency-Key", ""),
		},
		"generated": {
			retry: generate, tweak: post, steps: []step{reset, answer(503), answer(200)}, want: "CONNECTION_RESET? +100ms 503 +200ms 200 = 200",
			check: wantKeys("Idempotency-Key", "same", "same", "same"),
		},
		"generated, PATCH": {
			retry: generate, tweak: patch, steps: []step{answer(502), answer(200)}, want: "502 +100ms 200 = 200",
			check: wantKeys("Idempotency-Key", "same", "same"),
		},
		"not for GET": {
			retry: generate, steps: []step{answer(502), answer(200)}, want: "502 +100ms 200 = 200", check: wantKeys("Idempotency-Key", "", ""),
		},
		"for the methods that policy names": {
			retry: "max_attempts: 2, idempotency_key: {generate: true, methods: [POST]}", tweak: patch, steps: []step{answer(502)}, want: "502 = 502",
			stopped: "NOT_REPEATABLE", check: wantKeys("Idempotency-Key", ""),
		},
		"without retries too": { // the upstream may still want one
			retry: "max_attempts: 1, idempotency_key: {generate: true}", tweak: post, steps: []step{answer(200)}, want: "200 = 200",
			check: wantKeys("Idempotency-Key", "same"),
		},
		"the caller's": {
			retry: "max_attempts: 3", tweak: sent("order-7"), steps: []step{reset, answer(503), answer(200)}, want: "CONNECTION_RESET? +100ms 503 +200ms 200 = 200",
			check: wantKeys("Idempotency-Key", "order-7", "order-7", "order-7"),
		},
		"the caller's before a generated one": {
			retry: generate, tweak: sent("order-7"), steps: []step{reset, answer(200)}, want: "CONNECTION_RESET? +100ms 200 = 200",
			check: wantKeys("Idempotency-Key", "order-7", "order-7"),
		},
		"the caller's as a header": {
			retry: generate, tweak: keyed, steps: []step{reset, answer(200)}, want: "CONNECTION_RESET? +100ms 200 = 200",
			check: wantKeys("Idempotency-Key", "k1", "k1"),
		},
		"under policy's name for it": {
			retry: "max_attempts: 2, idempotency_key: {header: x-request-key, generate: true}", tweak: post, steps: []step{reset, answer(200)},
			want: "CONNECTION_RESET? +100ms 200 = 200", check: wantKeys("X-Request-Key", "same", "same"),
		},
		"the caller's under policy's name": {
			retry: "max_attempts: 2, idempotency_key: {header: x-request-key}", tweak: sent("order-7"), steps: []step{reset, answer(200)},
			want: "CONNECTION_RESET? +100ms 200 = 200", check: wantKeys("X-Request-Key", "order-7", "order-7"),
		},
		"under another name it says nothing": {
			retry: "max_attempts: 2, idempotency_key: {header: x-request-key}", tweak: keyed, steps: []step{reset},
			want: "CONNECTION_RESET? = CONNECTION_RESET", stopped: "NOT_REPEATABLE", check: wantKeys("X-Request-Key", ""),
		},
		"a failure that carried one is safe to repeat": {
			retry: "max_attempts: 2", tweak: sent("order-7"), steps: []step{reset}, want: "CONNECTION_RESET? +100ms CONNECTION_RESET? = CONNECTION_RESET",
			stopped: "MAX_ATTEMPTS", safe: true,
		},
	})
}

// TestKeysOfCalls: each call has a key of its own, and the caller's request none.
func TestKeysOfCalls(t *testing.T) {
	e, p := staged(t, policyText("max_attempts: 1, idempotency_key: {generate: true}", ""), answer(200))
	req := request(t, "POST", "http://a.test/")
	req.Body = Bytes("order")
	const calls = 100
	for range calls {
		if _, err := e.Do(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]bool{}
	for _, k := range keys(t, p, "Idempotency-Key") {
		all[k] = true
	}
	if len(all) != calls || len(req.Header) > 0 {
		t.Errorf("%d calls had %d keys, and the request became %v", calls, len(all), req.Header)
	}
}

// TestKeyOnRedirects: a key goes where its body goes.
func TestKeyOnRedirects(t *testing.T) {
	const two = `
upstreams:
  - {name: a, hosts: [a.test], schemes: [http], retry: {max_attempts: 2, backoff: {base: 100ms, jitter: none}, idempotency_key: {generate: true}}}
  - {name: b, hosts: [b.test], schemes: [http], retry: {max_attempts: 2, backoff: {base: 100ms, jitter: none}, idempotency_key: {header: X-Order}}}
`
	own := func(r *Request) { post(r); r.IdempotencyKey = "order-7" }
	plays(t, map[string]play{
		"307 keeps it": {
			text: two, tweak: post, steps: []step{answer(307, "Location: /next"), reset, answer(200)}, want: "307 > CONNECTION_RESET? +100ms 200 = 200",
			check: wantKeys("Idempotency-Key", "same", "same", "same"),
		},
		"303 drops it": {
			text: two, tweak: post, steps: []step{answer(303, "Location: /next"), answer(200)}, want: "303 > 200 = 200",
			check: wantKeys("Idempotency-Key", "same", ""),
		},
		"and no later hop has it again": {
			text: two, tweak: own, steps: []step{answer(303, "Location: /next"), answer(302, "Location: /more"), answer(503), answer(200)}, want: "303 > 302 > 503 +100ms 200 = 200",
			check: wantKeys("Idempotency-Key", "order-7", "", "", ""),
		},
		"303 without a body drops it too": {
			text: two, tweak: func(r *Request) { own(r); r.Body = nil }, steps: []step{answer(303, "Location: /next"), answer(200)}, want: "303 > 200 = 200",
			check: wantKeys("Idempotency-Key", "order-7", ""),
		},
		"302 of a PUT keeps it": {
			text: two, tweak: func(r *Request) { own(r); r.Method = "PUT" }, steps: []step{answer(302, "Location: /next"), answer(200)}, want: "302 > 200 = 200",
			check: wantKeys("Idempotency-Key", "order-7", "order-7"),
		},
		"another upstream has another name for it": {
			text: two, tweak: own, steps: []step{answer(307, "Location: http://b.test/"), reset, answer(200)}, want: "307 > CONNECTION_RESET? +100ms 200 = 200",
			check: wantKeys("X-Order", "", "order-7", "order-7"),
		},
		"a hop that gets none is not repeated": {
			text: two, tweak: keyed, steps: []step{answer(307, "Location: http://b.test/"), reset}, want: "307 > CONNECTION_RESET? = " + string(fault.ConnectionReset),
			stopped: "NOT_REPEATABLE", safe: false,
		},
	})
}
