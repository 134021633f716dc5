package fetch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// echo answers with what it was sent, in the head, the body and the trailer.
func echo(w http.ResponseWriter, r *http.Request) {
	own := r.Header.Get("Authorization")
	w.Header().Set("X-Echo", own)
	w.Header().Set("Trailer", "X-Behind")
	body := []byte("you sent " + own + ", thanks")
	if strings.Contains(r.URL.Path, "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		body = b.Bytes()
	}
	for _, b := range body { // in chunks of a byte
		_, _ = w.Write([]byte{b})
		_ = http.NewResponseController(w).Flush()
	}
	w.Header().Set("X-Behind", own)
}

// TestAnswersAreScrubbed: what the credential put into the request is in no part of
// the answer, through both doors, coded or not, whatever the caller asks for.
func TestAnswersAreScrubbed(t *testing.T) {
	const canary, clean = "main-token-canary", "you sent Bearer *****************, thanks"
	e := proving(t, serve(t, echo), "    credential: main")
	addr := e.Snapshot().Upstreams[0].Hosts[0]
	for _, path := range []string{"/plain", "/gzip"} {
		for _, keepCoded := range []bool{false, true} {
			t.Run(fmt.Sprint(path, keepCoded), func(t *testing.T) {
				req := request(t, "GET", "http://"+addr+path)
				req.KeepCoded = keepCoded
				res, err := e.Do(t.Context(), req)
				if err != nil || string(res.Body) != clean {
					t.Fatalf("Do: got %q (%v)", res.Body, err)
				}
				holds(t, canary, res.Header, res.Trailer)
				if n := res.Attempts[0].Scrubbed; n != 3 {
					t.Errorf("Do: the ledger counts %d, want 3: head, body, trailer", n)
				}
				live, _, err := e.Open(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(live)
				if err != nil || string(body) != clean {
					t.Errorf("Open: got %q (%v)", body, err)
				}
				end := live.End()
				holds(t, canary, end.Header, end.Trailer)
				if n := end.Attempts[0].Scrubbed; n != 3 {
					t.Errorf("Open: the ledger counts %d, want 3", n)
				}
			})
		}
	}
}

func holds(t *testing.T, canary string, headers ...http.Header) {
	t.Helper()
	for _, h := range headers {
		if len(h) == 0 || strings.Contains(fmt.Sprint(h), canary) {
			t.Errorf("the headers are %v", h)
		}
	}
}

// TestEchoesAreRefused: where policy says so, the call fails instead.
func TestEchoesAreRefused(t *testing.T) {
	for part, h := range map[string]http.HandlerFunc{
		"head": func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Echo", r.Header.Get("Authorization")) },
		"body": mirror,
	} {
		addr := serve(t, h)
		e := proving(t, addr, "    credential: main\n    scrub: refuse")
		_, err := e.Do(t.Context(), request(t, "GET", "http://"+addr+"/"))
		if !errors.Is(err, fault.SecretEchoed) || strings.Contains(err.Error(), "canary") {
			t.Errorf("Do, %s: got %v, want SECRET_ECHOED", part, err)
		}
		live, _, err := e.Open(t.Context(), request(t, "GET", "http://"+addr+"/"))
		if err == nil {
			var body []byte
			body, err = io.ReadAll(live)
			live.Close()
			if bytes.Contains(body, []byte("canary")) {
				t.Errorf("Open, %s: got %q", part, body)
			}
		}
		if !errors.Is(err, fault.SecretEchoed) {
			t.Errorf("Open, %s: got %v, want SECRET_ECHOED", part, err)
		}
	}
}

// TestRefusedEchoIsAnAnswer: also of a hop without a credential, whose answer repeats
// what the hop before carried. The ledger has its status.
func TestRefusedEchoIsAnAnswer(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "/second", http.StatusFound)
			return
		}
		w.Header().Set("X-Echo", "main-token-canary")
		w.WriteHeader(http.StatusTeapot)
	})
	e := proving(t, addr, "    scrub: refuse\n    routes: [{paths: [/first], credential: main}]")
	res, err := e.Do(t.Context(), request(t, "GET", "http://"+addr+"/first"))
	if !errors.Is(err, fault.SecretEchoed) || len(res.Attempts) != 2 {
		t.Fatalf("got %+v (%v), want SECRET_ECHOED after 2 attempts", res, err)
	}
	if a := res.Attempts[1]; a.Credential != "" || a.Status != http.StatusTeapot || a.Wire != fault.Answered {
		t.Errorf("the ledger has credential %q, status %d, wire %v, want none, 418, answered", a.Credential, a.Status, a.Wire)
	}
}

// TestScrubOff: policy may let an upstream's answers be as they are.
func TestScrubOff(t *testing.T) {
	addr := serve(t, mirror)
	e := proving(t, addr, "    credential: main\n    scrub: \"off\"")
	res, err := e.Do(t.Context(), request(t, "GET", "http://"+addr+"/"))
	if err != nil || !strings.Contains(string(res.Body), "main-token-canary") {
		t.Errorf("got %q (%v)", res.Body, err)
	}
}

// TestScrubKnowsTheTokensBefore: an answer may echo what an earlier request of the
// call had.
func TestScrubKnowsTheTokensBefore(t *testing.T) {
	seen := ""
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen += r.Header.Get("Authorization") + "\n"
		if strings.Count(seen, "\n") == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, seen)
	})
	e := signWith(proving(t, addr, "    credential: main"), &fakeSigner{verdict: on401(auth.Verdict{Again: true, Why: "fresh"})})
	res, err := e.Do(t.Context(), request(t, "GET", "http://"+addr+"/"))
	if err != nil || strings.Contains(string(res.Body), "token-number") || strings.Count(string(res.Body), "*") != 2*len("token-number-1") {
		t.Errorf("got %q (%v)", res.Body, err)
	}
}

// TestNamesAreScrubbed: a secret may come back as a header's name.
func TestNamesAreScrubbed(t *testing.T) {
	const canary = "main-token-canary"
	e := proving(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, own, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		w.Header().Set("X-"+own, "1")
		w.Header().Set(http.TrailerPrefix+own, "1")
		_, _ = io.WriteString(w, "ok")
	}), "    credential: main")
	res, err := e.Do(t.Context(), request(t, "GET", "http://"+e.Snapshot().Upstreams[0].Hosts[0]+"/"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range res.Header {
		if strings.Contains(strings.ToLower(name), canary) {
			t.Errorf("header %s", name)
		}
	}
	for name := range res.Trailer {
		if strings.Contains(strings.ToLower(name), canary) {
			t.Errorf("trailer %s", name)
		}
	}
	if got := res.Header.Get("X-" + strings.Repeat("*", len(canary))); got != "1" || res.Attempts[0].Scrubbed != 2 {
		t.Errorf("got %q, %d found in %v and %v", got, res.Attempts[0].Scrubbed, res.Header, res.Trailer)
	}
}

// TestAnswersThatCannotBeReadAreNotAskedFor: whatever the caller asks for.
func TestAnswersThatCannotBeReadAreNotAskedFor(t *testing.T) {
	e := proving(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Accept-Encoding"))
	}), "    credential: main")
	unasked := content.AcceptEncoding()
	for _, tt := range []struct{ asked, part, want string }{
		{"gzip;q=1, br", "", "gzip;q=1, br"}, {"identity", "", "identity"}, {"compress", "", unasked}, {"gzip, *;q=0.1", "", unasked}, {"gzip", "bytes=0-", "identity"},
	} {
		req := request(t, "GET", "http://"+e.Snapshot().Upstreams[0].Hosts[0]+"/")
		req.Header["Accept-Encoding"] = []string{tt.asked}
		if tt.part != "" {
			req.Header["Range"] = []string{tt.part}
		}
		if res, err := e.Do(t.Context(), req); err != nil || string(res.Body) != tt.want {
			t.Errorf("%+v: got %q (%v)", tt, res.Body, err)
		}
	}
}

// TestAnotherUpstreamIsScrubbed: the last hop carries nothing, and answers with what
// the hop before told it.
func TestAnotherUpstreamIsScrubbed(t *testing.T) {
	told := make(chan string, 1)
	away := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, <-told) })
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("Authorization")
		w.Header().Set("Location", "http://"+away+"/")
		w.WriteHeader(http.StatusFound)
	})
	e := proving(t, addr, "    credential: main\n  - name: away\n    hosts: [\""+away+"\"]\n    schemes: [http]\n    unsafe_allow_addresses: [127.0.0.0/8]")
	for _, door := range []string{"Do", "Open"} {
		req := request(t, "GET", "http://"+addr+"/")
		var body []byte
		if door == "Do" {
			res, err := e.Do(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			body = res.Body
		} else {
			live, _, err := e.Open(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			body, err = io.ReadAll(live)
			live.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
		if string(body) != "Bearer *****************" {
			t.Errorf("%s: got %q", door, body)
		}
	}
}
