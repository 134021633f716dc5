package contract

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

type rawConn = testpeer.RawConn

var response = testpeer.Response

// again is a call of upstream host with attempts, each `RETRY` but the first, and
// notes.
func again(name, host, fields string, peers setup, w want) testCase {
	if w.kind == "" {
		w.upstream = host
	}
	return testCase{name: "retries: " + name, peers: peers, in: `{"url":"http://` + host + `.test:{peer.port}/a"` + fields + "}", want: w}
}

// attempted lists the ledger's lines of one method.
func attempted(method string, ends ...string) (out []string) {
	for i, end := range ends {
		reason := "RETRY"
		if i == 0 {
			reason = "FIRST"
		}
		if _, err := strconv.Atoi(end[:3]); err == nil {
			end = "ANSWERED " + end
		}
		out = append(out, fmt.Sprintf("%s %s %s", reason, method, end))
	}
	return out
}

const (
	torn    = "MAYBE_PROCESSED CONNECTION_RESET"
	refusal = "UNSENT CONNECTION_REFUSED"
	post    = `,"method":"POST","text":"a"`
)

// retryCases: what is tried again by policy, after which wait, and why not.
func retryCases() []testCase {
	busy, ok, limited := response(503, "busy"), response(200, "ok"), response(429, "slow down")
	closed := port(testpeer.ClosedPort)
	resetOnce := raw(testpeer.InTurn(testpeer.ResetBeforeHead, testpeer.OK))
	asks := func(field string) setup { return answers(response(503, "", field), ok) }
	return []testCase{
		again("503, then 200", "retried", "", answers(busy, ok), want{content: `bytes "ok"`,
			attempts: attempted("GET", "503", "200"), notes: []string{"#2 after 10ms for status 503"}}),
		again("the wait doubles, up to its bound", "retried", "", answers(busy, limited, busy), want{status: 503, content: `bytes "busy"`,
			attempts: attempted("GET", "503", "429", "503"), notes: []string{"#2 after 10ms for status 503", "#3 after 20ms for status 429", "#3 stops by MAX_ATTEMPTS"}}),
		again("a reset, then 200", "retried", "", resetOnce, want{content: `bytes "ok"`,
			attempts: attempted("GET", torn, "200"), notes: []string{"#2 after 10ms for CONNECTION_RESET"}}),
		again("a body cut short, then 200", "retried", "", raw(testpeer.InTurn(testpeer.CutBody, testpeer.OK)), want{content: `bytes "ok"`,
			attempts: attempted("GET", "ANSWERED 200 BODY_CUT_SHORT", "200"), notes: []string{"#2 after 10ms for BODY_CUT_SHORT"}}),
		again("nonsense, then 200", "retried", "", raw(testpeer.InTurn(testpeer.BadStatusLine, testpeer.OK)), want{content: `bytes "ok"`,
			attempts: attempted("GET", "MAYBE_PROCESSED BAD_RESPONSE", "200"), notes: []string{"#2 after 10ms for BAD_RESPONSE"}}),
		again("a clock that runs out, then 200", "retried", `,"timeouts":{"first_byte":"1s"}`, raw(testpeer.InTurn(testpeer.StallOnAccept, testpeer.OK)), want{content: `bytes "ok"`,
			attempts: attempted("GET", "MAYBE_PROCESSED FIRST_BYTE_TIMEOUT", "200"), notes: []string{"#2 after 10ms for FIRST_BYTE_TIMEOUT"}}),
		again("no end", "retried", "", raw(testpeer.ResetBeforeHead), want{kind: "CONNECTION_RESET", safe: true,
			attempts: attempted("GET", torn, torn, torn), notes: []string{"#2 after 10ms for CONNECTION_RESET", "#3 after 20ms for CONNECTION_RESET", "#3 stops by MAX_ATTEMPTS"}}),
		again("a refused connection, of a POST too", "retried", post, closed, want{kind: "CONNECTION_REFUSED", safe: true,
			attempts: attempted("POST", refusal, refusal, refusal), notes: []string{"#2 after 10ms for CONNECTION_REFUSED", "#3 after 20ms for CONNECTION_REFUSED", "#3 stops by MAX_ATTEMPTS"}}),
		again("a PUT with its body", "retried", `,"method":"PUT","text":"payload"`, answers(busy, ok), want{
			attempts: attempted("PUT", "503", "200"), notes: []string{"#2 after 10ms for status 503"}}).bodies("payload"),
		again("not a POST that was answered", "retried", post, answers(busy, ok), want{status: 503,
			attempts: attempted("POST", "503"), notes: []string{"#1 stops by NOT_REPEATABLE"}}),
		again("not a POST that may have been done", "retried", post, resetOnce, want{kind: "CONNECTION_RESET",
			attempts: attempted("POST", torn), notes: []string{"#1 stops by NOT_REPEATABLE"}}),
		again("a POST that was refused by 429", "retried", post, answers(limited, ok), want{
			attempts: attempted("POST", "429", "200"), notes: []string{"#2 after 10ms for status 429"}}).bodies("a"),
		again("a POST that was refused by 413 with Retry-After", "retried", post, answers(response(413, "", "Retry-After: 0"), ok), want{
			attempts: attempted("POST", "413", "200"), notes: []string{"#2 after 10ms for status 413, Retry-After"}}),
		again("not a 413 without Retry-After", "retried", "", answers(response(413, ""), ok), want{status: 413, attempts: attempted("GET", "413")}),
		again("a POST with an idempotency_key", "retried", post+`,"idempotency_key":"k1"`, answers(busy, ok), want{
			attempts: attempted("POST", "503", "200"), notes: []string{"#2 after 10ms for status 503"}}).keys("Idempotency-Key: k1"),
		again("a POST with the caller's own header", "retried", post+`,"headers":[{"name":"Idempotency-Key","value":"k2"}]`, resetOnce, want{
			attempts: attempted("POST", torn, "200"), notes: []string{"#2 after 10ms for CONNECTION_RESET"}}).keys("Idempotency-Key: k2"),
		again("a 503 whose page is too large", "retried", `,"max_response_bytes":3`, answers(busy, ok), want{content: `bytes "ok"`,
			attempts: attempted("GET", "503 RESPONSE_TOO_LARGE", "200"), notes: []string{"#2 after 10ms for status 503"}}),
		again("not a 404", "retried", "", answers(response(404, "gone"), ok), want{status: 404, attempts: attempted("GET", "404")}),
		again("not a 500", "retried", "", answers(response(500, ""), ok), want{status: 500, attempts: attempted("GET", "500")}),
		again("not a coding that is broken", "retried", "", answers(response(200, "x", "Content-Encoding: gzip"), ok), want{kind: "BAD_CONTENT_CODING",
			attempts: attempted("GET", "ANSWERED 200 BAD_CONTENT_CODING")}),
		again("fail_on_status judges the last answer", "retried", `,"fail_on_status":true`, answers(busy, response(404, "")), want{kind: "UPSTREAM_STATUS", upstreamStatus: "404",
			attempts: attempted("GET", "503", "404"), notes: []string{"#2 after 10ms for status 503"}}),
		again("over a redirect the count goes on", "retried", "", answers(busy, response(302, "", "Location: /b"), busy, busy), want{status: 503,
			history:  []string{"GET http://retried.test:{peer.port}/a 302 -> /b"},
			attempts: []string{"FIRST GET ANSWERED 503", "RETRY GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 503", "hop 1 RETRY GET ANSWERED 503"},
			notes:    []string{"#2 after 10ms for status 503", "#4 after 20ms for status 503", "#4 stops by MAX_ATTEMPTS"}}),

		again("Retry-After in seconds", "retried", "", asks("Retry-After: 1"), want{
			attempts: attempted("GET", "503", "200"), notes: []string{"#2 after 1s for status 503, Retry-After"}}),
		again("Retry-After-Ms", "retried", "", asks("Retry-After-Ms: 120"), want{
			attempts: attempted("GET", "503", "200"), notes: []string{"#2 after 100ms for status 503, Retry-After-Ms"}}),
		again("Retry-After of a date that is past", "retried", "", asks("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"), want{
			attempts: attempted("GET", "503", "200"), notes: []string{"#2 after 10ms for status 503, Retry-After"}}),
		again("Retry-After that is no time", "retried", "", asks("Retry-After: soon"), want{
			attempts: attempted("GET", "503", "200"), notes: []string{"#2 after 10ms for status 503"}}),
		again("Retry-After of an hour ends it", "retried", "", asks("Retry-After: 3600"), want{status: 503,
			attempts: attempted("GET", "503"), notes: []string{"#1 stops by RETRY_AFTER"}}),
		again("Retry-After over the policy's own bound ends it", "choosy", "", answers(response(500, "", "Retry-After: 2"), ok), want{status: 500,
			attempts: attempted("GET", "500"), notes: []string{"#1 stops by RETRY_AFTER"}}),
		again("Retry-After that the total clock leaves no time for", "retried", `,"timeouts":{"total":"20s"}`, asks("Retry-After: 30"), want{status: 503,
			attempts: attempted("GET", "503"), notes: []string{"#1 stops by DEADLINE"}}),
		again("Retry-After where policy does not read it", "deaf", "", asks("Retry-After: 3600"), want{
			attempts: attempted("GET", "503", "200"), notes: []string{"#2 after 10ms for status 503"}}),
	}
}

// retryBoundCases: counters, lists and the budget of a policy.
func retryBoundCases() []testCase {
	ok := response(200, "ok")
	reset := raw(testpeer.ResetBeforeHead)
	return []testCase{
		again("none for connects", "counted", "", port(testpeer.ClosedPort), want{kind: "CONNECTION_REFUSED", safe: true,
			attempts: attempted("GET", refusal), notes: []string{"#1 stops by CONNECT"}}),
		again("one for reads", "counted", "", reset, want{kind: "CONNECTION_RESET", safe: true,
			attempts: attempted("GET", torn, torn), notes: []string{"#2 after 10ms for CONNECTION_RESET", "#2 stops by READ"}}),
		again("one for statuses", "counted", "", answers(response(503, "")), want{status: 503,
			attempts: attempted("GET", "503", "503"), notes: []string{"#2 after 10ms for status 503", "#2 stops by STATUS"}}),
		again("none for other failures", "counted", "", raw(testpeer.NotHTTP), want{kind: "BAD_RESPONSE", safe: true,
			attempts: attempted("GET", "MAYBE_PROCESSED BAD_RESPONSE"), notes: []string{"#1 stops by OTHER"}}),
		again("each counter by itself", "counted", "", raw(testpeer.InTurn(testpeer.ResetBeforeHead, testpeer.Answer(response(503, ""), response(503, ""), ok))), want{
			attempts: attempted("GET", torn, "503", "200"), notes: []string{"#2 after 10ms for CONNECTION_RESET", "#3 after 10ms for status 503"}}),
		again("a status of the policy's list", "choosy", "", answers(response(500, ""), ok), want{
			attempts: attempted("GET", "500", "200"), notes: []string{"#2 after 10ms for status 500"}}),
		again("not a status beside the policy's list", "choosy", "", answers(response(503, ""), ok), want{status: 503, attempts: attempted("GET", "503")}),
		again("a method of the policy's list", "choosy", post, answers(response(500, ""), ok), want{
			attempts: attempted("POST", "500", "200"), notes: []string{"#2 after 10ms for status 500"}}),
		again("not a method beside the policy's list", "choosy", `,"method":"DELETE"`, answers(response(500, ""), ok), want{status: 500,
			attempts: attempted("DELETE", "500"), notes: []string{"#1 stops by NOT_REPEATABLE"}}),
		again("a kind of the policy's list", "choosy", "", port(testpeer.ClosedPort), want{kind: "CONNECTION_REFUSED", safe: true,
			attempts: attempted("GET", refusal, refusal, refusal), notes: []string{"#2 after 10ms for CONNECTION_REFUSED", "#3 after 10ms for CONNECTION_REFUSED", "#3 stops by MAX_ATTEMPTS"}}),
		again("not a kind beside the policy's list", "choosy", "", reset, want{kind: "CONNECTION_RESET", safe: true,
			attempts: attempted("GET", torn), notes: []string{"#1 stops by NOT_RETRIED"}}),
		again("a budget of nothing", "thrifty", "", answers(response(503, ""), ok), want{status: 503,
			attempts: attempted("GET", "503"), notes: []string{"#1 stops by RETRY_BUDGET_EXHAUSTED"}}),
	}
}

// retryWishCases: what a call may ask for of retries, and what it may not.
func retryWishCases() []testCase {
	busy, ok := response(503, "busy"), response(200, "ok")
	twice := attempted("GET", "503", "200")
	after := []string{"#2 after 10ms for status 503"}
	over := func(name, wish, field string, says ...string) testCase {
		return again(name, "asked", `,"retry":{`+wish+`}`, nil, want{kind: "INVALID_REQUEST", fields: []string{field}, says: says})
	}
	return []testCase{
		again("none unless asked", "asked", "", answers(busy, ok), want{status: 503, attempts: attempted("GET", "503")}),
		again("asked for within the bound", "asked", `,"retry":{"max_attempts":3}`, answers(busy, ok), want{attempts: twice, notes: after}),
		again("fewer than the policy's", "retried", `,"retry":{"max_attempts":1}`, answers(busy, ok), want{status: 503, attempts: attempted("GET", "503")}),
		again("statuses of the call", "asked", `,"retry":{"max_attempts":2,"statuses":[404]}`, answers(response(404, ""), ok), want{
			attempts: attempted("GET", "404", "200"), notes: []string{"#2 after 10ms for status 404"}}),
		again("methods of the call", "asked", `,"retry":{"max_attempts":2,"methods":["POST"]}`+post, answers(busy, ok), want{attempts: attempted("POST", "503", "200"), notes: after}),
		again("any method of the call", "asked", `,"retry":{"max_attempts":2,"methods":["*"]}`+post, answers(busy, ok), want{attempts: attempted("POST", "503", "200"), notes: after}),
		again("counters of the call", "asked", `,"retry":{"max_attempts":3,"status":1}`, answers(busy), want{status: 503,
			attempts: attempted("GET", "503", "503"), notes: append(after[:1:1], "#2 stops by STATUS")}),
		again("a counter of nothing", "asked", `,"retry":{"max_attempts":3,"connect":0}`, port(testpeer.ClosedPort), want{kind: "CONNECTION_REFUSED", safe: true,
			attempts: attempted("GET", refusal), notes: []string{"#1 stops by CONNECT"}}),
		again("a backoff of the call", "asked", `,"retry":{"max_attempts":3,"backoff":{"base":"0.015s","max":"0.02s","jitter":"NONE"}}`, answers(busy), want{status: 503,
			attempts: attempted("GET", "503", "503", "503"), notes: []string{"#2 after 15ms for status 503", "#3 after 20ms for status 503", "#3 stops by MAX_ATTEMPTS"}}),
		again("a backoff of nothing", "asked", `,"retry":{"max_attempts":2,"backoff":{"base":"0s"}}`, answers(busy, ok), want{attempts: twice, notes: []string{"#2 after 0s for status 503"}}),
		again("Retry-After not read", "asked", `,"retry":{"max_attempts":2,"ignore_retry_after":true}`, answers(response(503, "", "Retry-After: 9"), ok), want{attempts: twice, notes: after}),
		again("Retry-After read less far", "asked", `,"retry":{"max_attempts":2,"retry_after_max":"2s"}`, answers(response(503, "", "Retry-After: 3"), ok), want{status: 503,
			attempts: attempted("GET", "503"), notes: []string{"#1 stops by RETRY_AFTER"}}),
		over("max_attempts over the bound", `"max_attempts":4`, "retry.max_attempts", "3", `"asked"`),
		over("retry_after_max over the bound", `"max_attempts":2,"retry_after_max":"6s"`, "retry.retry_after_max", "5s"),
		over("a first wait over the longest", `"max_attempts":2,"backoff":{"base":"2s","max":"1s"}`, "retry.backoff.base", "lower it"),
		over("a method that is none", `"max_attempts":2,"methods":["a b"]`, "retry.methods"),
		over("a status that is a success", `"max_attempts":2,"statuses":[200]`, "retry.statuses[0]"),
		again("max_attempts where policy retries nothing", "open", `,"retry":{"max_attempts":2}`, nil, want{kind: "INVALID_REQUEST", fields: []string{"retry.max_attempts"}, says: []string{"bound of 1"}}),
	}
}

// bodies makes the case hold that every attempt carried the body.
func (c testCase) bodies(text string) testCase {
	return c.each("the body "+text, func(r string) bool { return strings.HasSuffix(r, "\r\n\r\n"+text) })
}

// keys makes the case hold that every attempt carried the header line.
func (c testCase) keys(line string) testCase {
	return c.each("the header "+line, func(r string) bool { return strings.Contains(r, "\r\n"+line+"\r\n") })
}

func (c testCase) each(what string, holds func(request string) bool) testCase {
	c.also = func(ps peers) (problems []string) {
		for i, r := range ps["peer"].raw.Requests() {
			if !holds(string(r)) {
				problems = append(problems, fmt.Sprintf("request %d came without %s", i+1, what))
			}
		}
		return problems
	}
	return c
}

// keyCases: an idempotency key that fetchsvc makes is the same on every attempt,
// and made for no one who does not need it.
func keyCases() []testCase {
	busy, ok := response(503, "busy"), response(200, "ok")
	after := []string{"#2 after 10ms for status 503"}
	made := func(c testCase, header string) testCase {
		c.also = func(ps peers) []string {
			var keys []string
			for _, r := range ps["peer"].raw.Requests() {
				for line := range strings.SplitSeq(string(r), "\r\n") {
					if strings.HasPrefix(line, header) && madeKey.MatchString(line) {
						keys = append(keys, line)
					}
				}
			}
			if len(keys) != 2 || keys[0] != keys[1] {
				return []string{fmt.Sprintf("the two requests have the keys %q, want the same random UUID in %s", keys, header)}
			}
			return nil
		}
		return c
	}
	without := func(c testCase, header string) testCase {
		c.sent = &sent{not: []string{header}}
		return c
	}
	moved := without(testCase{name: "retries: a made key goes with the body it was for", peers: answers(response(303, "", "Location: /b"), ok),
		in: `{"url":"http://keyed.test:{peer.port}/a"` + post + `}`, want: want{upstream: "keyed",
			history:  []string{"POST http://keyed.test:{peer.port}/a 303 -> /b without Content-Type, Idempotency-Key"},
			attempts: []string{"FIRST POST ANSWERED 303", "hop 1 FIRST GET ANSWERED 200"}}}, "Idempotency-Key")
	return []testCase{
		made(again("a made key, over a status", "keyed", post, answers(busy, ok), want{attempts: attempted("POST", "503", "200"), notes: after}), "Idempotency-Key: "),
		made(again("a made key, over a reset", "keyed", post, raw(testpeer.InTurn(testpeer.ResetBeforeHead, testpeer.OK)), want{
			attempts: attempted("POST", torn, "200"), notes: []string{"#2 after 10ms for CONNECTION_RESET"}}), "Idempotency-Key: "),
		made(again("a made key in the policy's header", "own-keyed", `,"method":"PATCH","text":"a"`, answers(busy, ok), want{
			attempts: attempted("PATCH", "503", "200"), notes: after}), "X-Once: "),
		again("the caller's key in place of a made one", "keyed", post+`,"idempotency_key":"mine"`, answers(busy, ok), want{
			attempts: attempted("POST", "503", "200"), notes: after}).keys("Idempotency-Key: mine"),
		again("the caller's key in the policy's header", "own-keyed", post+`,"idempotency_key":"mine"`, answers(busy, ok), want{
			attempts: attempted("POST", "503", "200"), notes: after}).keys("X-Once: mine"),
		without(testCase{name: "retries: a key stays behind when a redirect makes a POST without a body a GET", peers: answers(response(303, "", "Location: /b"), ok),
			in: `{"url":"http://{peer}/a","method":"POST","idempotency_key":"k"}`, want: want{
				history:  []string{"POST http://{peer}/a 303 -> /b without Idempotency-Key"},
				attempts: []string{"FIRST POST ANSWERED 303", "hop 1 FIRST GET ANSWERED 200"}}}, "Idempotency-Key"),
		without(again("no key for a GET", "keyed", "", answers(busy, ok), want{attempts: attempted("GET", "503", "200"), notes: after}), "Idempotency-Key"),
		without(again("no key for a method beside the policy's list", "own-keyed", post, answers(busy, ok), want{status: 503,
			attempts: attempted("POST", "503"), notes: []string{"#1 stops by NOT_REPEATABLE"}}), "X-Once"),
		moved,
	}
}
