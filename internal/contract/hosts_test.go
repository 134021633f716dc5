package contract

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// names answers with how the client called this server: by Host and by SNI.
func names(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Host", r.Host)
	if r.TLS != nil {
		w.Header().Set("X-Sni", r.TLS.ServerName)
	}
	_, _ = io.WriteString(w, r.Proto)
}

// ipv6 is an upstream on [::1].
func ipv6(t *testing.T, _ *world) peers {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(names)}}
	s.Start()
	t.Cleanup(s.Close)
	return peers{"peer": at(s.URL)}
}

// hostCases: one spelling of a host for the resolver, Host and SNI; HTTP/1.1
// and HTTP/2, plain and over TLS.
func hostCases() []testCase {
	return []testCase{
		{
			name: "host name is resolved and sent as Host",
			in:   `{"url":"http://API.Example.Test:{peer.port}/"}`,
			want: want{url: "http://api.example.test:{peer.port}/"},
			sent: &sent{has: []string{"Host: api.example.test:{peer.port}"}},
		},
		{
			name: "host in unicode is sent as its A-label",
			in:   `{"url":"http://Bücher.test:{peer.port}/"}`,
			want: want{url: "http://xn--bcher-kva.test:{peer.port}/"},
			sent: &sent{has: []string{"Host: xn--bcher-kva.test:{peer.port}"}},
		},
		{
			name:  "host in unicode is the A-label in SNI and certificate too",
			peers: overTLS(names, testpeer.TLSOpts{}),
			in:    `{"url":"https://bücher.test:{peer.port}/"}`,
			want: want{version: "2", content: `bytes "HTTP/2.0"`, url: "https://xn--bcher-kva.test:{peer.port}/",
				headers: []string{"X-Host: xn--bcher-kva.test:{peer.port}", "X-Sni: xn--bcher-kva.test"}},
		},
		{
			name:  "host may be an IPv6 literal",
			peers: ipv6,
			in:    `{"url":"http://[0:0::1]:{peer.port}/"}`,
			want:  want{content: `bytes "HTTP/1.1"`, url: "http://{peer}/", headers: []string{"X-Host: {peer}"}},
		},
		{
			name: "host of another upstream is under that one's rules",
			in:   `{"url":"http://sibling.test:{peer.port}/"}`,
			want: want{upstream: "sibling"},
		},
		{
			name:  "https by HTTP/2 has no reason phrase",
			peers: overTLS(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, testpeer.TLSOpts{}),
			in:    `{"url":"https://{peer}/"}`,
			want:  want{status: 418, version: "2", reason: "none", content: `bytes ""`, attempts: []string{"FIRST GET ANSWERED 418"}},
			edit:  nil,
		},
		{
			name:  "https by HTTP/1.1 where the upstream has no other",
			peers: overTLS(names, testpeer.TLSOpts{HTTP1Only: true}),
			in:    `{"url":"https://localhost:{peer.port}/"}`,
			want:  want{content: `bytes "HTTP/1.1"`, headers: []string{"X-Sni: localhost"}},
		},
		{
			name:  "https to bytes is what was asked for",
			peers: rawTLS(testpeer.CertOpts{}, testpeer.EchoScript),
			in:    `{"method":"POST","url":"https://{peer}/a?b","text":"c","headers":[{"name":"X-A","value":"1"}]}`,
			sent:  &sent{line: "POST /a?b HTTP/1.1", has: []string{"Host: {peer}", "X-A: 1"}, body: body("c")},
		},
		{
			name: "https by HTTP/2 carries the whole request",
			peers: func(t *testing.T, w *world) peers {
				return peers{"peer": at(testpeer.EchoTLS(t, w.ca.Issue(testpeer.CertOpts{}), testpeer.TLSOpts{HTTP2Only: true}))}
			},
			in:   `{"method":"PURGE","url":"https://{peer}/a?b=1","params":[{"name":"c","value":"d e"}],"headers":[{"name":"X-A","value":"1"},{"name":"X-A","value":"2"}],"text":"body"}`,
			want: want{version: "2"},
			sent: &sent{line: "PURGE /a?b=1&c=d+e HTTP/2.0", has: []string{"Host: {peer}", "Content-Type: text/plain; charset=utf-8", "X-A: 1", "X-A: 2"}, body: body("body")},
		},
		refused("url with userinfo", `"url":"http://user:hunter2@{peer}/"`, "url", "Authorization header"),
		refused("url without a scheme", `"url":"{peer}/"`, "url", "https://"),
		refused("url of ftp", `"url":"ftp://{peer}/"`, "url", "ftp", "use https or http"),
		refused("url with a space", `"url":"http://{peer}/a b"`, "url", "%20"),
		refused("url with a line break", `"url":"http://{peer}/a\r\nX: y"`, "url", "control character"),
		refused("url with a bad escape", `"url":"http://{peer}/100%"`, "url", "%25"),
		refused("url missing", `"url":""`, "url", "required"),
		refused("url with a zone", `"url":"http://[fe80::1%25eth0]:{peer.port}/"`, "url", "zone"),
		refused("url with a decimal address", `"url":"http://2130706433:{peer.port}/"`, "url", "canonical IPv4"),
		refused("url with port 0", `"url":"http://127.0.0.1:0/"`, "url", "1 to 65535"),
	}
}
