package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

func unauthorized(challenges ...string) *http.Response {
	return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": challenges}}
}

// paramsOf reads what was sent, which has the form of a challenge.
func paramsOf(t *testing.T, o *Outgoing) map[string]string {
	t.Helper()
	lines := o.Request.Header["Authorization"]
	if len(lines) != 1 {
		t.Fatalf("Authorization has %d lines, want 1", len(lines))
	}
	all, ok := challengesOf(lines[0])
	if !ok || len(all) != 1 || all[0].scheme != "digest" {
		t.Fatalf("Authorization is %q, want one Digest", lines[0])
	}
	return all[0].params
}

// newDigestSigner signs as user, with the password `Secret, or not?` unless it is
// given.
func newDigestSigner(t *testing.T, scheme policy.Digest, password string, now func() time.Time) *digest {
	t.Helper()
	scheme.Password = "env:PASS"
	keep := NewKeep(Config{Secrets: store(t, map[string]string{"PASS": password}), Now: now})
	return keep.Signer(&policy.Credential{Name: "bot", ID: "bot", Scheme: &scheme}).(*digest)
}

// TestDigestVectors are RFC 7616 section 3.9, with the values that its erratum 4897
// gives for SHA-512-256 (those of the text are of SHA-512, cut), and RFC 2069's as
// its erratum 749 has it.
func TestDigestVectors(t *testing.T) {
	const nonce2617 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
	for _, tt := range []struct {
		name, url, challenge, user, password, cnonce string
		want                                         map[string]string
	}{
		{
			"SHA-256", "http://www.example.org/dir/index.html",
			`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="` + nonce2617 + `", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			map[string]string{
				"username": "Mufasa", "realm": "http-auth@example.org", "uri": "/dir/index.html", "algorithm": "SHA-256",
				"nonce": nonce2617, "nc": "00000001", "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "qop": "auth",
				"response": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
			},
		},
		{
			"MD5", "http://www.example.org/dir/index.html",
			`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="` + nonce2617 + `", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
			"Mufasa", "Circle of Life", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
			map[string]string{"response": "8ca523f5e9506fed4657c9700eebdbec", "algorithm": "MD5"},
		},
		{
			"SHA-512-256, charset and userhash", "http://api.example.org/doe.json",
			`Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true`,
			"Ja\u0308s\u00f8n Doe", "Secret, or not?", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
			map[string]string{
				"username": "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", "userhash": "true",
				"response": "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
			},
		},
		{
			"RFC 2069", "http://www.nowhere.org/dir/index.html",
			`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`,
			"Mufasa", "CircleOfLife", "unused",
			map[string]string{"response": "1949323746fe6a43ef61f9606e7febea", "qop": "", "cnonce": "", "nc": "", "algorithm": ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDigestSigner(t, policy.Digest{Username: tt.user, MD5: true}, tt.password, nil)
			d.cnonce = func() string { return tt.cnonce }
			o := outgoing(t, "GET", tt.url, http.Header{"Authorization": {"of the caller"}})
			if err := d.Sign(t.Context(), o); err != nil || o.Request.Header["Authorization"] != nil {
				t.Fatalf("before a challenge: %v, Authorization %q; want nothing sent", err, o.Request.Header["Authorization"])
			}
			if v := d.Answered(t.Context(), o, unauthorized(tt.challenge)); !v.Again || v.Stale {
				t.Fatalf("the challenge: got %+v, want again", v)
			}
			o = outgoing(t, "GET", tt.url, nil)
			if err := d.Sign(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			got := paramsOf(t, o)
			for name, want := range tt.want {
				if got[name] != want {
					t.Errorf("%s: got %q, want %q", name, got[name], want)
				}
			}
			if !slices.Equal(revealed(o), []string{got["response"]}) || !slices.Equal(o.Headers, []string{"Authorization"}) {
				t.Errorf("revealed %q in %q", revealed(o), o.Headers)
			}
		})
	}
}

// TestDigestChoice: which of the challenges is answered, and how.
func TestDigestChoice(t *testing.T) {
	const tail = `, realm="r", nonce="n", qop="auth"`
	for _, tt := range []struct {
		name       string
		challenges []string
		md5        bool
		algorithm  string // of the answer; empty: none
		why        string
	}{
		{"the strongest, in one line", []string{"Digest algorithm=MD5" + tail + `, Basic realm="b", Digest algorithm=SHA-512-256` + tail + ", Digest algorithm=SHA-256" + tail}, true, "SHA-512-256", ""},
		{"the strongest, in several lines", []string{"Digest algorithm=MD5" + tail, "Negotiate abc==", "digest  ALGORITHM = sha-256" + tail}, true, "sha-256", ""},
		{"a session", []string{"Digest algorithm=SHA-256-sess" + tail}, false, "SHA-256-sess", ""},
		{"MD5 alone", []string{"Digest algorithm=MD5" + tail}, false, "", "unsafe_md5"},
		{"no algorithm is MD5", []string{`Digest realm="r", nonce="n", qop=auth`}, false, "", "unsafe_md5"},
		{"MD5, which is allowed", []string{"Digest algorithm=MD5" + tail}, true, "MD5", ""},
		{"auth-int alone", []string{`Digest algorithm=SHA-256, realm="r", nonce="n", qop="auth-int"`}, true, "", "auth-int"},
		{"no qop and no MD5", []string{`Digest algorithm=SHA-256, realm="r", nonce="n"`}, true, "", "without qop"},
		{"unknown algorithm", []string{"Digest algorithm=SHA-3" + tail}, true, "", "none of MD5"},
		{"no nonce", []string{`Digest algorithm=SHA-256, realm="r", qop=auth`}, true, "", "realm or a nonce"},
		{"a parameter twice", []string{`Digest algorithm=SHA-256, realm="r", nonce="n", nonce="m", qop=auth`}, true, "", "no digest"},
		{"a quote that does not end", []string{`Digest algorithm=SHA-256, realm="r, nonce="n", qop=auth`}, true, "", "no digest"},
		{"a parameter without a value", []string{`Digest algorithm=SHA-256, realm="r", nonce="n", qop=auth, opaque=`}, true, "", "no digest"},
		{"a parameter without a scheme", []string{`realm="r", Digest algorithm=SHA-256` + tail}, true, "", "no digest"},
		{"a bad line beside a good one", []string{`Digest realm="r`, "Digest algorithm=SHA-256" + tail}, true, "SHA-256", ""},
		{"only Basic", []string{`Basic realm="r"`}, true, "", "no digest"},
		{"nothing", nil, true, "", "no digest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDigestSigner(t, policy.Digest{Username: "u", MD5: tt.md5}, "p", nil)
			o := outgoing(t, "GET", "https://a.example/", nil)
			if err := d.Sign(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			v := d.Answered(t.Context(), o, unauthorized(tt.challenges...))
			if v.Again != (tt.algorithm != "") || !strings.Contains(v.Why, tt.why) {
				t.Fatalf("got %+v, want again %v, why %q", v, tt.algorithm != "", tt.why)
			}
			if err := d.Sign(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if tt.algorithm == "" {
				if o.Request.Header["Authorization"] != nil {
					t.Errorf("a challenge that must not be answered was: %q", o.Request.Header["Authorization"])
				}
			} else if got := paramsOf(t, o)["algorithm"]; got != tt.algorithm {
				t.Errorf("answered by %q, want %q", got, tt.algorithm)
			}
		})
	}
}

// exchange is one request of a script: the status and headers of the answer are
// judged.
func exchange(t *testing.T, d *digest, url string, res *http.Response) (map[string]string, Verdict) {
	t.Helper()
	o := outgoing(t, "GET", url, nil)
	if err := d.Sign(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var sent map[string]string
	if o.Request.Header["Authorization"] != nil {
		sent = paramsOf(t, o)
	}
	return sent, d.Answered(t.Context(), o, res)
}

func TestDigestNonces(t *testing.T) {
	now := time.Unix(1e9, 0)
	d := newDigestSigner(t, policy.Digest{Username: "u"}, "p", func() time.Time { return now })
	ask := func(nonce, more string) *http.Response {
		return unauthorized(`Digest realm="r", qop="auth", algorithm=SHA-256, nonce="` + nonce + `"` + more)
	}
	ok := &http.Response{StatusCode: 200, Header: http.Header{}}
	step := func(what, url string, res *http.Response, wantNonce, wantCount string, want Verdict) {
		t.Helper()
		got, v := exchange(t, d, url, res)
		if got["nonce"] != wantNonce || got["nc"] != wantCount {
			t.Errorf("%s: sent nonce %q count %q, want %q %q", what, got["nonce"], got["nc"], wantNonce, wantCount)
		}
		if v.Again != want.Again || v.Stale != want.Stale {
			t.Errorf("%s: got %+v, want %+v", what, v, want)
		}
	}
	again, stale, no := Verdict{Again: true}, Verdict{Again: true, Stale: true}, Verdict{}
	const at, other = "https://a.example/x", "https://b.example/x"
	step("first", at, ask("n1", ""), "", "", again)
	step("answered", at, ok, "n1", "00000001", no)
	step("at once", at, ok, "n1", "00000002", no)
	step("another origin", other, ok, "", "", no)
	step("stale", at, ask("n2", `, stale=TRUE`), "n1", "00000003", stale)
	step("the new one", at, ok, "n2", "00000001", no)
	next := &http.Response{StatusCode: 200, Header: http.Header{"Authentication-Info": {`qop=auth, nextnonce="n3", nc=00000001`}}}
	step("next nonce is told", at, next, "n2", "00000002", no)
	step("next nonce is used", at, ok, "n3", "00000001", no)
	step("out of date, and not called stale", at, ask("n4", ""), "n3", "00000002", again)
	step("refused although new", at, ask("n5", ""), "n4", "00000001", no)
	now = now.Add(time.Minute)
	step("refused, but old", at, ask("n6", ""), "n5", "00000001", again)
	step("no digest any more", at, unauthorized(`Basic realm="r"`), "n6", "00000001", no)
	step("forgotten", at, ok, "", "", no)
}

// TestDigestRealms: two realms of one origin are told apart by path, and each
// answers its own without a refusal once both are known.
func TestDigestRealms(t *testing.T) {
	d := newDigestSigner(t, policy.Digest{Username: "u"}, "p", nil)
	realmOf := map[string]string{"/a": "A", "/b": "B", "/": "A"}
	refusals := func() (n int) {
		for _, path := range []string{"/a", "/b", "/a", "/", "/b"} {
			for range 3 {
				want := realmOf[path]
				o := outgoing(t, "GET", "https://a.example"+path+"?q", nil)
				if err := d.Sign(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				if o.Request.Header["Authorization"] != nil && paramsOf(t, o)["realm"] == want {
					break
				}
				n++
				if v := d.Answered(t.Context(), o, unauthorized(`Digest realm="`+want+`", qop="auth", algorithm=SHA-256, nonce="n`+want+`"`)); !v.Again {
					t.Fatalf("%s: got %+v, want again", path, v)
				}
			}
		}
		return n
	}
	refusals() // each is known
	refusals() // and by which paths
	if n := refusals(); n != 0 {
		t.Errorf("%d requests were refused after both realms were known, want 0", n)
	}
	// A domain that has not the path that asked, and one of other origins.
	for _, domain := range []string{"/elsewhere", "https://evil.example/ /y https://c.example/z"} {
		o := outgoing(t, "GET", "https://c.example/x", nil)
		if err := d.Sign(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		d.Answered(t.Context(), o, unauthorized(`Digest realm="C`+domain+`", qop="auth", algorithm=SHA-256, nonce="c", domain="`+domain+`"`))
		if sent, _ := exchange(t, d, "https://c.example/x", &http.Response{StatusCode: 200}); sent["realm"] != "C"+domain {
			t.Errorf("domain %q: signed for realm %q", domain, sent["realm"])
		}
	}
	if sent, _ := exchange(t, d, "https://c.example/z/1", &http.Response{StatusCode: 200}); sent == nil {
		t.Error("a path of domain was not signed at once")
	}
}

// TestDigestIsBounded: an upstream cannot fill the memory.
func TestDigestIsBounded(t *testing.T) {
	d := newDigestSigner(t, policy.Digest{Username: "u"}, "p", nil)
	for i := range 3 * maxSpaces {
		o := outgoing(t, "GET", fmt.Sprintf("https://a.example/%d", i), nil)
		d.Answered(t.Context(), o, unauthorized(fmt.Sprintf(`Digest realm="%d", qop="auth", algorithm=SHA-256, nonce="n"`, i)))
		d.Answered(t.Context(), o, unauthorized(fmt.Sprintf(`Digest realm="same", qop="auth", algorithm=SHA-256, nonce="%d"`, i)))
	}
	if n := len(d.spaces.all); n > maxSpaces {
		t.Errorf("%d realms are kept, want at most %d", n, maxSpaces)
	}
	for _, space := range d.spaces.all {
		if len(space.unused) > maxUnused || len(space.roots) > maxRoots {
			t.Errorf("realm %s keeps %d nonces and %d paths", space.realm, len(space.unused), len(space.roots))
		}
	}
}

// TestDigestUser: how the user is named.
func TestDigestUser(t *testing.T) {
	for _, tt := range []struct{ name, more, want string }{
		{`a"b\c`, "", `username="a\"b\\c"`},
		{"J\u00e4s n", "", "username=\"J\u00e4s n\""},
		{"J\u00e4s n", ", charset=utf-8", "username*=UTF-8''J%C3%A4s%20n"},
	} {
		d := newDigestSigner(t, policy.Digest{Username: tt.name}, "p", nil)
		exchange(t, d, "https://a.example/", unauthorized(`Digest realm="r\"s", qop="auth", algorithm=SHA-256, nonce="n"`+tt.more))
		o := outgoing(t, "GET", `https://a.example/`, nil)
		if err := d.Sign(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := o.Request.Header["Authorization"][0]; !strings.HasPrefix(got, "Digest "+tt.want+`, realm="r\"s", `) {
			t.Errorf("%q%s: got %s, want %s", tt.name, tt.more, got, tt.want)
		}
	}
}

// oneTime is a server that takes each nonce once, and checks with code of its own.
type oneTime struct {
	mu     sync.Mutex
	nonces map[string]bool
	asked  int
	hash   digestHash
}

func (s *oneTime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, _ := challengesOf(r.Header.Get("Authorization"))
	if len(got) == 1 && s.nonces[got[0].params["nonce"]] {
		p := got[0].params
		delete(s.nonces, p["nonce"])
		a1 := s.hash.sum(s.hash.sum("u:r:p") + ":" + p["nonce"] + ":" + p["cnonce"])
		a2 := s.hash.sum(r.Method + ":" + r.RequestURI)
		if p["response"] == s.hash.sum(strings.Join([]string{a1, p["nonce"], p["nc"], p["cnonce"], "auth", a2}, ":")) && p["uri"] == r.RequestURI {
			return
		}
	}
	s.asked++
	nonce := fmt.Sprintf("n%d", s.asked)
	s.nonces[nonce] = true
	w.Header().Set("WWW-Authenticate", `Digest realm="r", qop="auth", algorithm=SHA-256-sess, stale=true, nonce="`+nonce+`"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// roundTrip sends a request as the engine does: once more for a challenge, and once
// more again for a stale nonce.
func roundTrip(t *testing.T, s Signer, method, url string) (status, requests int) {
	t.Helper()
	var before *Outgoing
	for resends := 0; ; {
		o := outgoing(t, method, url, nil)
		o.Before = before
		if err := s.Sign(t.Context(), o); err != nil {
			t.Error(err)
			return 0, requests
		}
		o.Request.Proto, o.Request.ProtoMajor, o.Request.ProtoMinor = "HTTP/1.1", 1, 1
		res, err := http.DefaultTransport.RoundTrip(o.Request)
		if err != nil {
			t.Error(err)
			return 0, requests
		}
		_ = res.Body.Close()
		requests++
		v := s.Answered(t.Context(), o, res)
		if !v.Again || resends >= 2 || resends == 1 && !v.Stale {
			return res.StatusCode, requests
		}
		o.Before, before = nil, o
		resends++
	}
}

// TestDigestOneTimeNonces: a hundred callers at once of a server that takes each
// nonce once, all of whom get through, though newcomers come while others answer the
// nonce that they were given.
func TestDigestOneTimeNonces(t *testing.T) {
	peer := &oneTime{nonces: map[string]bool{}, hash: hashNamed("SHA-256")}
	server := httptest.NewServer(peer)
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	d := newDigestSigner(t, policy.Digest{Username: "u"}, "p", nil)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if status, n := roundTrip(t, d, "GET", fmt.Sprintf("%s/%d?a=b%%20c&&", server.URL, i)); status != 200 {
				t.Errorf("caller %d: status %d after %d requests", i, status, n)
			}
		})
	}
	all.Wait()
}

// TestDigestKeptNonces: once it shows that nonces are good for one use, each is left
// to whom it was given; a nonce that serves many again is everybody's.
func TestDigestKeptNonces(t *testing.T) {
	now := time.Unix(1e9, 0)
	d := newDigestSigner(t, policy.Digest{Username: "u"}, "p", func() time.Time { return now })
	const at = "https://a.example/x"
	sign := func(before *Outgoing, wantNonce, wantCount string) *Outgoing {
		t.Helper()
		o := outgoing(t, "GET", at, nil)
		o.Before = before
		if err := d.Sign(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if o.Request.Header["Authorization"] != nil {
			got = paramsOf(t, o)
		}
		if got["nonce"] != wantNonce || got["nc"] != wantCount {
			t.Errorf("sent nonce %q count %q, want %q %q", got["nonce"], got["nc"], wantNonce, wantCount)
		}
		return o
	}
	refuse := func(o *Outgoing, nonce string) Verdict {
		return d.Answered(t.Context(), o, unauthorized(`Digest realm="r", qop="auth", algorithm=SHA-256, stale=true, nonce="`+nonce+`"`))
	}
	accept := func(o *Outgoing) {
		d.Answered(t.Context(), o, &http.Response{StatusCode: 200, Header: http.Header{}})
	}
	first := sign(nil, "", "")
	refuse(first, "n1")
	accept(sign(nil, "n1", "00000001")) // a newcomer: nobody knows yet
	again := sign(first, "n1", "00000002")
	refuse(again, "n2")
	second := sign(nil, "n1", "00000003") // n2 is kept
	refuse(second, "n3")
	sent := sign(second, "n3", "00000001")
	sign(nil, "", "") // n3 is under way, and n2 kept
	robbed := sign(&Outgoing{proof: brought("gone")}, "", "")
	if v := refuse(robbed, "n9"); !v.Again || !v.Stale {
		t.Errorf("who was given a nonce that another had: got %+v, want again, as after a stale one", v)
	}
	accept(sent)
	accept(sign(again, "n2", "00000001"))

	given := sign(nil, "n2", "00000002")
	refuse(given, "n4")
	now = now.Add(freshNonce + time.Second) // given does not come back
	accept(sign(nil, "n4", "00000001"))
	accept(sign(nil, "n4", "00000002"))
	stale := sign(nil, "n4", "00000003")
	refuse(stale, "n5")
	accept(sign(nil, "n5", "00000001")) // n4 had served twice: this upstream's nonces serve many
	accept(sign(stale, "n5", "00000002"))
}

// TestDigestPeer: go-httpbin checks our digests by its own code.
func TestDigestPeer(t *testing.T) {
	server := httptest.NewServer(httpbin.New())
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		d := newDigestSigner(t, policy.Digest{Username: "user", MD5: algorithm == "MD5"}, "p:w", nil)
		at := server.URL + "/digest-auth/auth/user/p:w/" + algorithm
		if status, n := roundTrip(t, d, "GET", at+"?x=%2f"); status != 200 || n != 2 {
			t.Errorf("%s: got %d after %d requests, want 200 after 2", algorithm, status, n)
		}
		if status, n := roundTrip(t, d, "GET", at); status != 200 || n != 1 {
			t.Errorf("%s, later: got %d after %d requests, want 200 after 1", algorithm, status, n)
		}
		wrong := newDigestSigner(t, policy.Digest{Username: "user", MD5: true}, "wrong", nil)
		if status, n := roundTrip(t, wrong, "GET", at); status != 401 || n != 2 {
			t.Errorf("%s, a wrong password: got %d after %d requests, want 401 after 2", algorithm, status, n)
		}
	}
}

// FuzzChallenges: whatever an upstream sends, nothing breaks, and what is answered
// cannot end the header early and reads back as one challenge.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`Digest realm="r", qop="auth", algorithm=SHA-256, nonce="n"`, `Digest realm="\"", nonce=n, domain="/a /b", opaque="\\"`,
		"Negotiate abc==, Basic", `a b=c, d="e,f" , G h`, `Digest realm="r`, "a\x00", `Digest nonce="é", realm="", charset=UTF-8, userhash=true`,
	} {
		f.Add(s, "Authentication-Info: "+s)
	}
	f.Fuzz(func(t *testing.T, line, info string) {
		d := newDigestSigner(t, policy.Digest{Username: "u", MD5: true}, "p", nil)
		o := outgoing(t, "GET", "https://a.example/x", nil)
		v := d.Answered(t.Context(), o, unauthorized(line, info))
		if err := d.Sign(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if v.Again != (o.Request.Header["Authorization"] != nil) {
			t.Fatalf("again is %v, and Authorization is %q", v.Again, o.Request.Header["Authorization"])
		}
		if v.Again {
			if !fieldValue(o.Request.Header["Authorization"][0]) {
				t.Fatalf("a header that ends early: %q", o.Request.Header["Authorization"])
			}
			paramsOf(t, o)
			d.Answered(t.Context(), o, &http.Response{StatusCode: 200, Header: http.Header{"Authentication-Info": {info}}})
			if err := d.Sign(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	})
}
