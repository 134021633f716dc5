package contract

import (
	"fmt"
	"strings"
)

// headerCases: what a caller may send in headers and cookies, and what
// fetchsvc adds: Host, framing, Accept-Encoding, User-Agent and nothing else.
func headerCases() []testCase {
	cases := []testCase{
		{
			name: "headers sent unasked are four at most",
			in:   `{"url":"http://{peer}/"}`,
			sent: &sent{
				has: []string{"Host: {peer}", "User-Agent: " + userAgent, "Accept-Encoding: gzip, deflate, br, zstd"},
				not: []string{"Accept", "Referer", "Cookie", "Connection", "Content-Type", "Via", "X-Forwarded-For", "Traceparent"},
			},
		},
		{
			name: "headers User-Agent and Accept-Encoding are the caller's where given",
			in:   `{"url":"http://{peer}/","headers":[{"name":"user-agent","value":"mine/1"},{"name":"Accept-Encoding","value":"identity"}]}`,
			sent: &sent{has: []string{"User-Agent: mine/1", "Accept-Encoding: identity"}},
		},
		{
			name: "headers of one name stay apart and in order",
			in:   `{"url":"http://{peer}/","headers":[{"name":"X-A","value":"2"},{"name":"x-a","value":"1"},{"name":"X-A","value":"2"}]}`,
			sent: &sent{has: []string{"X-A: 2", "X-A: 1", "X-A: 2"}},
		},
		{
			name: "headers take empty values, tabs and text beyond ASCII",
			in:   `{"url":"http://{peer}/","headers":[{"name":"X-Empty"},{"name":"X-Tab","value":"a\tb"},{"name":"X-Text","value":"naïve"}]}`,
			sent: &sent{has: []string{"X-Empty: ", "X-Tab: a\tb", "X-Text: naïve"}},
		},
		{
			name: "headers raw_value need not be UTF-8",
			in:   `{"url":"http://{peer}/","headers":[{"name":"X-Name","raw_value":"TfxsbGVy"}]}`,
			sent: &sent{has: []string{"X-Name: M\xfcller"}},
		},
		{
			name: "headers may authenticate, and the ledger hides it",
			in:   `{"url":"http://{peer}/","headers":[{"name":"Authorization","value":"Bearer abc"}]}`,
			sent: &sent{has: []string{"Authorization: Bearer abc"}},
		},
		{
			name: "headers TE may say trailers",
			in:   `{"url":"http://{peer}/","headers":[{"name":"TE","value":"trailers"}]}`,
			sent: &sent{has: []string{"Te: trailers"}},
		},
		{
			name: "cookies go as one header",
			in:   `{"url":"http://{peer}/","cookies":[{"name":"a","value":"1"},{"name":"b","value":"two words"},{"name":"a","value":"\"3\""}]}`,
			sent: &sent{has: []string{`Cookie: a=1; b=two words; a="3"`}},
		},
		{
			name: "cookies in headers are sent as written",
			in:   `{"url":"http://{peer}/","headers":[{"name":"Cookie","value":"a=1;b=2"}]}`,
			sent: &sent{has: []string{"Cookie: a=1;b=2"}},
		},
		{
			name: "idempotency_key is a header on any method",
			in:   `{"method":"POST","url":"http://{peer}/","idempotency_key":"k-1"}`,
			sent: &sent{has: []string{"Idempotency-Key: k-1"}},
		},
		refused("cookies in two places", `"headers":[{"name":"Cookie","value":"a=1"}],"cookies":[{"name":"b","value":"2"}]`, "cookies", "one place"),
		refused("cookies with a semicolon", `"cookies":[{"name":"a","value":"1; b=2"}]`, "cookies[0].value", "percent-encode"),
		refused("cookies with a line break", `"cookies":[{"name":"a","value":"1\r\nX: y"}]`, "cookies[0].value", "control"),
		refused("cookies without a name", `"cookies":[{"value":"1"}]`, "cookies[0].name"),
		refused("cookies with a name that is no token", `"cookies":[{"name":"a b","value":"1"}]`, "cookies[0].name", "not a cookie name"),
		refused("idempotency_key in two places", `"headers":[{"name":"Idempotency-Key","value":"a"}],"idempotency_key":"b"`, "idempotency_key", "one place"),
		refused("idempotency_key with a space", `"idempotency_key":"a b"`, "idempotency_key"),

		refused("headers with a line break", `"headers":[{"name":"X-A","value":"1\r\nHost: evil"}]`, "headers[0].value", "line break"),
		refused("headers with a NUL", `"headers":[{"name":"X-A","raw_value":"YQBi"}]`, "headers[0].value", "control character"),
		refused("headers with a name that is no token", `"headers":[{"name":"X A","value":"1"}]`, "headers[0].name", "not a header name"),
		refused("headers with a colon in the name", `"headers":[{"name":"X-A:","value":"1"}]`, "headers[0].name", "not a header name"),
		refused("headers without a name", `"headers":[{"value":"1"}]`, "headers[0].name", "not a header name"),
		refused("headers over 32 KiB", `"headers":[{"name":"X-A","value":"`+strings.Repeat("v", 32<<10+1)+`"}]`, "headers[0].value", "32 KiB"),
		refused("headers TE with a coding", `"headers":[{"name":"TE","value":"gzip"}]`, "headers[0].value", "trailers"),
		refused("headers both value and raw_value", `"headers":[{"name":"X-A","value":"1","raw_value":"Mg=="}]`, "headers[0]"),
	}
	for _, h := range []struct{ name, hint string }{
		{"Host", "request_host"},
		{"content-length", "derived from the body"},
		{"Transfer-Encoding", "framing"},
		{"Connection", "pooled"},
		{"Keep-Alive", "pooled"},
		{"Proxy-Connection", "pooled"},
		{"Proxy-Authorization", "policy"},
		{"Proxy-Authenticate", "leave it out"},
		{"Trailer", "Stream"},
		{"Upgrade", "not served"},
		{"HTTP2-Settings", "not served"},
		{"Expect", "expect_continue"},
	} {
		cases = append(cases, refused("headers "+h.name, fmt.Sprintf(`"headers":[{"name":"X-Fine","value":"1"},{"name":%q,"value":"1"}]`, h.name), "headers[1].name", h.hint))
	}
	return cases
}

// refused is a case whose fields make an INVALID_REQUEST that names field and
// says each of says; nothing reaches the upstream.
func refused(name, fields, field string, says ...string) testCase {
	in := fields
	if !strings.Contains(fields, `"url"`) {
		in = `"url":"http://{peer}/",` + fields
	}
	return testCase{
		name: "refused: " + name,
		in:   "{" + in + "}",
		want: want{kind: "INVALID_REQUEST", fields: []string{field}, says: append(says, field)},
	}
}
