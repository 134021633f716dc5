package ssrftest

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// TestRedirects: every status, every form of Location, to every kind of forbidden
// host, from http and from https.
func TestRedirects(t *testing.T) {
	w := newWorld(t)
	w.names.set("inside.test", []string{"10.0.0.1"})
	w.names.set("back.test", []string{"127.0.0.1"})
	hosts := []string{"127.0.0.1", "127.0.0.2", "[::1]", "[::]", "0.0.0.0", "localhost", "inside.test", "back.test", "169.254.169.254", "metadata.google.internal",
		"[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "①②⑦.0.0.1", "127.0.0.1.", "%31%32%37.0.0.1",
		"2130706433", "0x7f.1", "017700000001", "127.1", "[fe80::1%25lo]"}
	locations := []string{"http://HOST/", "https://HOST/", "//HOST/", "HTTP://HOST/a?b#c", " \thttp://HOST/\t", "http://user:pw@HOST/", "http://DOOR@HOST/",
		"http:\\\\HOST\\", "http:HOST", "http:/HOST", "///HOST/", "/\\HOST/", "\\\\HOST/", "/../..//HOST/", "/%2f%2fHOST/", "./\\HOST", "http://HOST", "http://DOOR\\@HOST/",
		"http://DOOR/to?status=302&location=http%3A%2F%2FHOST%2F"}
	n := 0
	for _, base := range []string{"http://" + w.open, "https://" + w.secure} {
		for _, status := range []string{"301", "302", "303", "307", "308"} {
			for _, form := range locations {
				for _, host := range hosts {
					n++
					location := strings.NewReplacer("HOST", host+":"+w.port, "DOOR", w.open).Replace(form)
					w.redirect(t, base+"/to?"+url.Values{"status": {status}, "location": {location}}.Encode(), form, location)
				}
			}
		}
	}
	w.silent(t)
	t.Logf("%d redirects", n)
	if n < 3000 {
		t.Errorf("%d redirects were tried", n)
	}
}

// stays are the forms that RFC 3986 resolves on the door's own host, whatever
// browsers make of them.
var stays = []string{"/\\HOST/", "\\\\HOST/", "/../..//HOST/", "/%2f%2fHOST/", "./\\HOST"}

func (w *world) redirect(t *testing.T, from, form, location string) {
	t.Helper()
	req, err := request(from)
	if err != nil {
		t.Fatal(err)
	}
	req.Method, req.Body = http.MethodPost, fetch.Bytes("a body")
	res, err := w.engine.Do(t.Context(), req)
	switch {
	case err == nil && slices.Contains(stays, form):
		if res.Header.Get("X-Door") == "" {
			t.Errorf("%q was answered by somebody else", location)
		}
	case errors.Is(err, fault.AddressDenied), errors.Is(err, fault.BadRedirect):
	default:
		t.Errorf("a redirect to %q from %s: got %v, want it refused", location, from, err)
	}
	if heard := w.take(); len(heard) > 0 {
		t.Errorf("a redirect to %q from %s reached %v", location, from, heard)
	}
}

// TestHintsAreNoRedirects: nothing but a 3xx and Location leads anywhere.
func TestHintsAreNoRedirects(t *testing.T) {
	w := newWorld(t)
	for _, scheme := range []string{"http://" + w.open, "https://" + w.secure} {
		for range 2 {
			if got, err := w.do(t, scheme+"/hints?trap="+url.QueryEscape("127.0.0.1:"+w.port)); got != safe {
				t.Errorf("got %s: %v", got, err)
			}
		}
	}
	w.silent(t)
}

// TestHostIsNotTheAddress: what a caller says of the host changes no connection.
func TestHostIsNotTheAddress(t *testing.T) {
	w := newWorld(t)
	trapAt := "127.0.0.1:" + w.port
	for name, say := range map[string]func(*fetch.Request){
		"request_host":      func(r *fetch.Request) { r.Host = trapAt },
		"Host":              func(r *fetch.Request) { r.Header["Host"] = []string{trapAt} },
		"X-Forwarded-Host":  func(r *fetch.Request) { r.Header["X-Forwarded-Host"] = []string{trapAt} },
		"Forwarded":         func(r *fetch.Request) { r.Header["Forwarded"] = []string{"host=\"" + trapAt + "\""} },
		"X-Original-URL":    func(r *fetch.Request) { r.Header["X-Original-Url"] = []string{"http://" + trapAt + "/"} },
		"X-Rewrite-URL":     func(r *fetch.Request) { r.Header["X-Rewrite-Url"] = []string{"http://" + trapAt + "/"} },
		"X-Forwarded-Proto": func(r *fetch.Request) { r.Header["X-Forwarded-Proto"] = []string{"https"} },
	} {
		req, err := request("http://" + w.open + "/")
		if err != nil {
			t.Fatal(err)
		}
		say(req)
		res, err := w.engine.Do(t.Context(), req)
		if err != nil || res.Header.Get("X-Door") == "" {
			t.Errorf("%s: got %+v, %v; want the door", name, res, err)
		}
		aimed, _ := request("http://" + trapAt + "/")
		aimed.Header["Host"] = []string{w.open}
		if _, err := w.engine.Do(t.Context(), aimed); !errors.Is(err, fault.AddressDenied) {
			t.Errorf("the trap under the door's name: got %v, want ADDRESS_DENIED", err)
		}
	}
	w.silent(t)
}

// TestLoopTokenStandsInTheLedger, and not in what the caller gave: that is sent
// again on the next try.
func TestLoopTokenStandsInTheLedger(t *testing.T) {
	token := egress.NewLoopToken()
	w := newWorld(t, func(c *egress.Config) { c.LoopToken = token })
	for range 2 { // on a new connection and on a kept one
		req, err := request("http://" + w.open + "/to?status=302&location=/")
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Cdn-Loop"] = []string{"cdn.example"}
		res, err := w.engine.Do(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range res.Attempts {
			if got := a.Header["Cdn-Loop"]; len(got) != 1 || got[0] != "cdn.example, "+token {
				t.Errorf("attempt %d sent CDN-Loop %q, want the caller's and %s", a.Number, got, token)
			}
		}
		if got := req.Header["Cdn-Loop"]; len(res.Attempts) != 2 || len(got) != 1 || got[0] != "cdn.example" {
			t.Errorf("%d attempts, and the caller's own header became %q", len(res.Attempts), got)
		}
	}
	if other := egress.NewLoopToken(); other == token || !strings.HasPrefix(token, "fetchsvc-") || len(token) != 25 {
		t.Errorf("tokens are %s and %s", token, other)
	}
}
