package testpeer

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Scripts that redirect. The status is 301, 302, 303, 307 or 308, or whatever
// else is to be tried.

// RedirectTo answers every request with a Location, sent verbatim: another
// server's URL, "/relative", "//host/path", or one of [OddLocations].
func RedirectTo(status int, location string) Script {
	return Answer(Response(status, "over there\n", "Location: "+location))
}

// RedirectNowhere answers a redirect status without a Location.
func RedirectNowhere(status int) Script { return Answer(Response(status, "nowhere\n")) }

// RedirectLoop redirects every request to its own target, for ever.
func RedirectLoop(status int) Script {
	return EachRequest(func(c *RawConn, r Request) {
		c.Write(Response(status, "again\n", "Location: "+r.Target))
	})
}

// RedirectChain answers with n redirects, to /hop/1 … /hop/n, whatever target the
// first request has; /hop/n answers as [Echo] does, so that the test sees what
// became of method, body and headers. RawServer.Requests has every stop.
func RedirectChain(status, n int) Script {
	return EachRequest(func(c *RawConn, r Request) {
		at := 0
		if digits, ok := strings.CutPrefix(r.Target, "/hop/"); ok {
			at, _ = strconv.Atoi(digits)
		}
		if at >= n {
			c.echo(r)
			return
		}
		response := Response(status, "next\n", fmt.Sprintf("Location: /hop/%d", at+1))
		if r.Method == http.MethodHead {
			response = strings.TrimSuffix(response, "next\n")
		}
		c.Write(response)
	})
}

// OddLocation is one Location that clients read differently.
type OddLocation struct{ Name, Location string }

// OddLocations are Locations beneath base (a URL without a final slash) as they
// are found in the wild, and some that must not be followed.
func OddLocations(base string) []OddLocation {
	_, hostPort, _ := strings.Cut(base, "://")
	return []OddLocation{
		{"relative path", "next"},
		{"absolute path", "/next"},
		{"dot segments", "../a/./b/../next"},
		{"query only", "?page=2"},
		{"empty", ""},
		{"scheme-relative", "//" + hostPort + "/next"},
		{"spaces", base + "/a b"},
		{"raw utf-8", base + "/caf\u00e9"},
		{"latin-1", base + "/caf\xe9"},
		{"fragment", base + "/next#part"},
		{"userinfo", strings.Replace(base, "://", "://user:secret@", 1) + "/next"},
		{"bad escape", base + "/100%"},
		{"backslashes", `\\` + hostPort + `\next`},
		{"tab inside", base + "/ne\txt"},
		{"ftp", "ftp://" + hostPort + "/next"},
		{"file", "file:///etc/passwd"},
		{"javascript", "javascript:alert(1)"},
		{"no host", "http:///next"},
		{"port zero", "http://127.0.0.1:0/"},
	}
}
