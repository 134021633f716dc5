package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// proving makes an engine whose policy has credentials `main` and `other`, both
// bearer, for the server at addr; settings are the upstream's further lines.
func proving(t testing.TB, addr, settings string) *Engine {
	t.Helper()
	s, err := policy.Parse("test", fmt.Appendf(nil, `
credentials:
  - {name: main, bind: ["http://%[1]s"], bearer: {token: {secret: env:MAIN}}}
  - {name: other, bind: ["http://%[1]s"], bearer: {token: {secret: env:OTHER}}}
  - {name: elsewhere, bind: ["http://localhost:1"], bearer: {token: {secret: env:OTHER}}}
upstreams:
  - name: up
    hosts: ["%[1]s", "localhost:1"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
%[2]s
`, addr, settings), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MAIN": "main-token-canary", "OTHER": "other-token-canary"}
	store := secret.New(secret.Config{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	pools := egress.NewPools(egress.Config{})
	t.Cleanup(pools.Close)
	keep := auth.NewKeep(auth.Config{Secrets: store})
	t.Cleanup(keep.Close)
	e := New(Config{Pools: pools, UserAgent: "fetchsvc/test", Keep: keep})
	e.Use(s)
	return e
}

// mirror answers with the request's proofs.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s|%s|%s|%d", r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("X-Api-Key"), len(body))
}

func serve(t testing.TB, h http.HandlerFunc) (addr string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// TestCallersChooseCredentials: by name, among those that policy lists for the
// upstream, and for where the chosen one may go.
func TestCallersChooseCredentials(t *testing.T) {
	addr := serve(t, mirror)
	e := proving(t, addr, "    credential: main\n    credentials: [other, elsewhere]\n    scrub: \"off\"")
	for choice, want := range map[string]string{
		"": "Bearer main-token-canary|||0", "main": "Bearer main-token-canary|||0", "other": "Bearer other-token-canary|||0",
		"elsewhere": "NOT_GRANTED is not bound to GET http://" + addr, "nobody": `NOT_GRANTED choose "nobody"`,
	} {
		req := request(t, "GET", "http://"+addr+"/")
		req.Credential = choice
		res, err := e.Do(t.Context(), req)
		kind, says, fails := strings.Cut(want, " ")
		if f := new(fault.Error); fails && strings.HasPrefix(kind, "NOT_") {
			if !errors.As(err, &f) || string(f.Kind) != kind || !strings.Contains(f.Message, says) {
				t.Errorf("choice %q: got %v, want %s", choice, err, want)
			}
			continue
		}
		if err != nil || string(res.Body) != want {
			t.Errorf("choice %q: got %q (%v), want %q", choice, res.Body, err, want)
			continue
		}
		if name := cmpOr(choice, "main"); res.Attempts[0].Credential != name {
			t.Errorf("choice %q: the ledger has credential %q, want %s", choice, res.Attempts[0].Credential, name)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestCallersOwnProofs: what a caller sends to prove itself does not go beside our
// credential, or instead of it where policy says so.
func TestCallersOwnProofs(t *testing.T) {
	addr := serve(t, mirror)
	for mode, want := range map[string]string{
		"overwrite": "Bearer main-token-canary|||0",
		"keep":      "Basic own|a=b|own-key|0",
		"deny":      "NOT_GRANTED",
	} {
		e := proving(t, addr, "    credential: main\n    scrub: \"off\"\n    caller_credentials: "+mode)
		req := request(t, "GET", "http://"+addr+"/")
		req.Header["Authorization"], req.Header["Cookie"], req.Header["X-Api-Key"] = []string{"Basic own"}, []string{"a=b"}, []string{"own-key"}
		res, err := e.Do(t.Context(), req)
		if got := string(res.Body); err != nil {
			if f := fault.From(err); string(f.Kind) != want || !strings.Contains(f.Message, "Authorization") {
				t.Errorf("%s: got %v", mode, err)
			}
		} else if got != want {
			t.Errorf("%s: the upstream saw %q, want %q", mode, got, want)
		}
		if plain, err := e.Do(t.Context(), request(t, "GET", "http://"+addr+"/")); err != nil || string(plain.Body) != "Bearer main-token-canary|||0" {
			t.Errorf("%s: a call without proofs of its own got %q (%v)", mode, plain.Body, err)
		}
	}
}

// fakeSigner signs with a counted token, and judges answers as it is told.
type fakeSigner struct {
	needs   auth.Needs
	verdict func(status int) auth.Verdict

	mu     sync.Mutex
	signed int
	read   []string
}

func (s *fakeSigner) Needs() auth.Needs { return s.needs }

func (s *fakeSigner) Sign(_ context.Context, o *auth.Outgoing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed++
	o.Request.Header["Authorization"] = []string{fmt.Sprintf("Bearer token-number-%d", s.signed)}
	o.Revealed = append(o.Revealed, secret.NewValue(fmt.Sprintf("token-number-%d", s.signed)))
	o.Headers = append(o.Headers, "Authorization")
	if o.Body != nil {
		data, err := io.ReadAll(o.Body())
		s.read = append(s.read, string(data))
		return err
	}
	return nil
}

func (s *fakeSigner) Answered(_ context.Context, _ *auth.Outgoing, res *http.Response) auth.Verdict {
	return s.verdict(res.StatusCode)
}

// signWith puts s in the place of the signer of credential `main`.
func signWith(e *Engine, s auth.Signer) *Engine {
	for _, c := range e.current.Load().chains {
		if c.proofs != nil {
			for cred := range c.proofs.signers {
				if cred.Name == "main" {
					c.proofs.signers[cred] = s
				}
			}
		}
	}
	return e
}

func on401(v auth.Verdict) func(int) auth.Verdict {
	return func(status int) auth.Verdict {
		if status == http.StatusUnauthorized {
			return v
		}
		return auth.Verdict{}
	}
}

// TestChallenges: a hop gets one more request for a fresh proof, and one for a
// stale one, both beside policy's max_attempts.
func TestChallenges(t *testing.T) {
	again := auth.Verdict{Again: true, Why: "a fresh token"}
	for name, c := range map[string]struct {
		refuses int // how many requests are answered 401
		verdict auth.Verdict
		body    Body
		status  int
		reasons string
	}{
		"accepted":           {0, again, nil, 200, "FIRST"},
		"refused once":       {1, again, Bytes("data"), 200, "FIRST CHALLENGE"},
		"refused twice":      {2, again, nil, 401, "FIRST CHALLENGE"},
		"stale":              {1, auth.Verdict{Again: true, Why: "stale", Stale: true}, nil, 200, "FIRST CHALLENGE"},
		"no other proof":     {1, auth.Verdict{}, nil, 401, "FIRST"},
		"the body was spent": {1, again, &spentBody{Reader: strings.NewReader("data")}, 401, "FIRST"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			left := c.refuses
			addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				if left--; left >= 0 {
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			e := signWith(proving(t, addr, "    credential: main"), &fakeSigner{verdict: on401(c.verdict)})
			req := request(t, "POST", "http://"+addr+"/")
			req.Body = c.body
			res, err := e.Do(t.Context(), req)
			if err != nil || res.Status != c.status {
				t.Fatalf("got %d (%v), want %d", res.Status, err, c.status)
			}
			var reasons []string
			for _, a := range res.Attempts {
				reasons = append(reasons, map[Reason]string{First: "FIRST", Challenge: "CHALLENGE"}[a.Reason])
			}
			if got := strings.Join(reasons, " "); got != c.reasons {
				t.Errorf("the attempts were %s, want %s", got, c.reasons)
			}
			if n := len(res.Attempts); n > 1 && res.Attempts[n-1].WaitReason != c.verdict.Why {
				t.Errorf("the ledger says %q, want %q", res.Attempts[n-1].WaitReason, c.verdict.Why)
			}
		})
	}
}

// spentBody is a body that can be sent once.
type spentBody struct{ io.Reader }

func (b *spentBody) Open() io.ReadCloser { return io.NopCloser(b.Reader) }
func (*spentBody) Replayable() bool      { return false }
func (*spentBody) Size() int64           { return 4 }

// TestChallengeOfAStream: the refused answer is not the stream's.
func TestChallengeOfAStream(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-number-2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "the stream")
	})
	e := signWith(proving(t, addr, "    credential: main"), &fakeSigner{verdict: on401(auth.Verdict{Again: true, Why: "fresh"})})
	live, _, err := e.Open(t.Context(), request(t, "GET", "http://"+addr+"/"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	data, err := io.ReadAll(live)
	if err != nil || string(data) != "the stream" || live.Status != 200 {
		t.Errorf("got %d %q (%v)", live.Status, data, err)
	}
}

// TestDigestedBody: a Signer that needs the body gets it whole, and the upstream
// gets the same.
func TestDigestedBody(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		_, _ = w.Write(data)
	})
	s := &fakeSigner{needs: auth.Needs{Body: true}, verdict: on401(auth.Verdict{})}
	e := signWith(proving(t, addr, "    credential: main\n    retry: {spool: 64KiB}"), s)

	req := request(t, "PUT", "http://"+addr+"/")
	req.Body = Bytes("whole")
	if res, err := e.Do(t.Context(), req); err != nil || string(res.Body) != "whole" {
		t.Fatalf("a body in memory: %q (%v)", res.Body, err)
	}
	for size, refused := range map[int]bool{60 << 10: false, 65 << 10: true} {
		req := request(t, "PUT", "http://"+addr+"/")
		req.Body = &uploaded{Reader: strings.NewReader(strings.Repeat("u", size))}
		live, _, err := e.Open(t.Context(), req)
		if refused {
			if !errors.Is(err, fault.RequestTooLarge) || !strings.Contains(err.Error(), "retry.spool") {
				t.Errorf("an upload of %d bytes: %v, want REQUEST_TOO_LARGE", size, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(live)
		live.Close()
		if err != nil || len(data) != size || len(s.read[len(s.read)-1]) != size {
			t.Errorf("an upload of %d bytes: %d came back (%v), %d were digested", size, len(data), err, len(s.read[len(s.read)-1]))
		}
	}
}

// uploaded is an upload of unknown length.
type uploaded struct{ io.Reader }

func (u *uploaded) Open() io.ReadCloser { return io.NopCloser(u.Reader) }
func (*uploaded) Replayable() bool      { return false }
func (*uploaded) Size() int64           { return -1 }
func (*uploaded) Trailer() http.Header  { return http.Header{} }
func (*uploaded) Unannounced() bool     { return false }

// TestUnderscoredProofs: what CGI reads as one of the proofs goes the way of them.
func TestUnderscoredProofs(t *testing.T) {
	e := proving(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header["X_api_key"], r.Header["X_else"])
	}), "    credential: main")
	req := request(t, "GET", "http://"+e.Snapshot().Upstreams[0].Hosts[0]+"/")
	req.Header["X_api_key"], req.Header["X_else"] = []string{"own"}, []string{"own"}
	if res, err := e.Do(t.Context(), req); err != nil || string(res.Body) != "[] [own]" {
		t.Errorf("got %q (%v)", res.Body, err)
	}
}
