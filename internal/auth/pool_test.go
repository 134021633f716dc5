package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// pooled compiles a pool named all of the members, which are written as in a policy.
func pooled(t *testing.T, rest string, env map[string]string, now func() time.Time, members map[string]string) *pool {
	t.Helper()
	text := "upstreams:\n  - name: up\n    hosts: [a.example, b.example]\n    credential: all\ncredentials:\n" +
		"  - name: all\n    bind: ['https://*.example']\n    pool:\n      rest: " + rest + "\n      members: ["
	list := ""
	for name, scheme := range members {
		text += name + ","
		list += "  - name: " + name + "\n    " + strings.ReplaceAll(scheme, "\n", "\n    ") + "\n"
	}
	snapshot, err := policy.Parse("policy.yaml", []byte(strings.TrimSuffix(text, ",")+"]\n"+list), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, cred := range snapshot.Credentials() {
		if cred.Name == "all" {
			return NewKeep(Config{Secrets: store(t, env), Now: now}).Signer(cred).(*pool)
		}
	}
	t.Fatal("the policy has no pool")
	return nil
}

const bind = "bind: ['https://a.example']\n"

func bearers(names ...string) (members, env map[string]string) {
	members, env = map[string]string{}, map[string]string{}
	for _, name := range names {
		members[name] = bind + "bearer: {token: {secret: env:" + strings.ToUpper(name) + "}}"
		env[strings.ToUpper(name)] = "token-" + name
	}
	return members, env
}

func poolOutgoing(t *testing.T, method, raw string) *Outgoing {
	t.Helper()
	o := outgoing(t, method, raw, nil)
	u, err := target.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	o.URL = u
	return o
}

// uses signs a request, and gives the member that did.
func uses(t *testing.T, p *pool, o *Outgoing) string {
	t.Helper()
	if err := p.Sign(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	name, ok := strings.CutPrefix(o.Name, "all/")
	if !ok {
		t.Fatalf("the ledger would show %q", o.Name)
	}
	return name
}

func answerOf(status int, header ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		res.Header.Set(header[i], header[i+1])
	}
	return res
}

// TestPoolTakesTurns: of members that nobody knows anything about.
func TestPoolTakesTurns(t *testing.T) {
	members, env := bearers("x", "y", "z")
	p := pooled(t, "1m", env, nil, members)
	count := map[string]int{}
	for range 30 {
		o := poolOutgoing(t, "GET", "https://a.example/")
		name := uses(t, p, o)
		count[name]++
		if got := o.Request.Header.Get("Authorization"); got != "Bearer token-"+name || revealed(o)[0] != "token-"+name {
			t.Errorf("%s sent %s", name, got)
		}
		p.Answered(t.Context(), o, answerOf(200))
	}
	for name, n := range count {
		if n != 10 {
			t.Errorf("%s was used %d times of 30, want 10", name, n)
		}
	}
}

// TestPoolSpreads: calls at once go to all members, by what is under way; what ends
// without an answer is no longer under way.
func TestPoolSpreads(t *testing.T) {
	members, env := bearers("x", "y", "z", "w")
	p := pooled(t, "1m", env, nil, members)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	count := map[string]int{}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			o := poolOutgoing(t, "GET", "https://a.example/")
			if err := p.Sign(ctx, o); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			count[o.Name]++
		})
	}
	all.Wait()
	for name, n := range count {
		if n != 25 {
			t.Errorf("%s has %d of 100 requests under way, want 25", name, n)
		}
	}
	cancel()
	for left := 1; left > 0; {
		left = 0
		p.mu.Lock()
		for _, m := range p.members {
			left += m.busy
		}
		p.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
}

// TestPoolUnderWay: what is under way counts before whose turn it is, and against a
// quota.
func TestPoolUnderWay(t *testing.T) {
	members, env := bearers("x", "y")
	p := pooled(t, "1m", env, nil, members)
	sign := func() (*Outgoing, string) {
		o := poolOutgoing(t, "GET", "https://a.example/")
		return o, uses(t, p, o)
	}
	slow, busy := sign()
	for range 3 {
		o, name := sign()
		if name == busy {
			t.Errorf("%s was taken, which is busy, and the other is not", name)
		}
		p.Answered(t.Context(), o, answerOf(200, "RateLimit", `"default";r=4;t=100`))
	}
	p.Answered(t.Context(), slow, answerOf(200, "RateLimit", `"default";r=6;t=100`))
	count := map[string]int{}
	for range 6 {
		_, name := sign()
		count[name]++
	}
	if count[busy] != 4 {
		t.Errorf("of 6 at once %v, want 4 for %s, which has 2 more left", count, busy)
	}
}

// TestPoolRests: who was refused rests, and who comes next.
func TestPoolRests(t *testing.T) {
	now := time.Unix(1e9, 0)
	members, env := bearers("x", "y")
	p := pooled(t, "1m", env, func() time.Time { return now }, members)
	sign := func(before *Outgoing) (*Outgoing, string) {
		o := poolOutgoing(t, "GET", "https://a.example/")
		o.Before = before
		return o, uses(t, p, o)
	}
	first, bad := sign(nil)
	if v := p.Answered(t.Context(), first, answerOf(401)); !v.Again || v.Stale || !strings.Contains(v.Why, bad) {
		t.Fatalf("the first 401: got %+v, want again for another member", v)
	}
	second, good := sign(first)
	if good == bad {
		t.Fatalf("%s was taken again", bad)
	}
	if v := p.Answered(t.Context(), second, answerOf(401)); v.Again {
		t.Error("again, with nobody left")
	}
	now = now.Add(30 * time.Second)
	third, name := sign(nil)
	if name != bad {
		t.Errorf("all rest: %s was taken, want %s, whose rest ends first or as early", name, bad)
	}
	p.Answered(t.Context(), third, answerOf(200)) // which ends its rest
	for range 3 {
		o, name := sign(nil)
		if name != bad {
			t.Errorf("%s was taken although it rests", name)
		}
		p.Answered(t.Context(), o, answerOf(200))
	}
	limited, name := sign(nil)
	if v := p.Answered(t.Context(), limited, answerOf(429, "Retry-After", "3600")); v.Again || name != bad {
		t.Errorf("429 of %s: got %+v, want no other request: retry decides", name, v)
	}
	if _, name = sign(nil); name != good {
		t.Errorf("%s was taken, want %s, whose rest ends before an hour", name, good)
	}
	now = now.Add(59 * time.Minute)
	for range 3 {
		o, name := sign(nil)
		if name != good {
			t.Error("Retry-After was not heeded")
		}
		p.Answered(t.Context(), o, answerOf(200))
	}
}

// TestPoolSuccessDuringRest: an answer to a request from before the rest does not
// end it.
func TestPoolSuccessDuringRest(t *testing.T) {
	members, env := bearers("x", "y")
	p := pooled(t, "1m", env, nil, members)
	var all []*Outgoing
	by := map[string][]*Outgoing{}
	for range 4 {
		o := poolOutgoing(t, "GET", "https://a.example/")
		name := uses(t, p, o)
		all, by[name] = append(all, o), append(by[name], o)
	}
	p.Answered(t.Context(), by["x"][0], answerOf(429))
	p.Answered(t.Context(), by["x"][1], answerOf(200))
	p.Answered(t.Context(), by["y"][0], answerOf(200))
	for range 3 {
		if name := uses(t, p, poolOutgoing(t, "GET", "https://a.example/")); name != "y" {
			t.Errorf("%s was taken, which rests", name)
		}
	}
	_ = all
}

// TestPoolQuota: the one with most left is taken, and one that said nothing yet is
// asked; what was said is forgotten when it ends.
func TestPoolQuota(t *testing.T) {
	now := time.Unix(1e9, 0)
	members, env := bearers("x", "y", "z")
	p := pooled(t, "1m", env, func() time.Time { return now }, members)
	left := map[string]int{"x": 5, "y": 20, "z": 10}
	count := map[string]int{}
	for range 35 {
		o := poolOutgoing(t, "GET", "https://a.example/")
		name := uses(t, p, o)
		count[name]++
		left[name]--
		if left[name] < 0 {
			t.Fatalf("%s was taken, with nothing left: %v", name, left)
		}
		p.Answered(t.Context(), o, answerOf(200, "RateLimit", `"default";r=`+strconv.Itoa(left[name])+`;t=100`))
	}
	if left["x"]+left["y"]+left["z"] != 0 {
		t.Errorf("left are %v, want none", left)
	}
	now = now.Add(101 * time.Second)
	seen := map[string]bool{}
	for range 3 {
		o := poolOutgoing(t, "GET", "https://a.example/")
		seen[uses(t, p, o)] = true
		p.Answered(t.Context(), o, answerOf(200))
	}
	if len(seen) != 3 {
		t.Errorf("after the window %v were used, want all", seen)
	}
}

// TestPoolDestinations: a member goes only where it is bound, by its methods and
// paths.
func TestPoolDestinations(t *testing.T) {
	p := pooled(t, "1m", map[string]string{"X": "x", "Y": "y"}, nil, map[string]string{
		"reader": bind + "methods: [GET]\nbearer: {token: {secret: env:X}}",
		"other":  "bind: ['https://b.example']\npaths: [/v1/**]\nbearer: {token: {secret: env:Y}}",
	})
	for range 3 {
		if name := uses(t, p, poolOutgoing(t, "GET", "https://a.example/")); name != "reader" {
			t.Errorf("a.example got %s", name)
		}
		if name := uses(t, p, poolOutgoing(t, "POST", "https://b.example/v1/x")); name != "other" {
			t.Errorf("b.example got %s", name)
		}
	}
	for _, at := range [][2]string{{"POST", "https://a.example/"}, {"GET", "https://b.example/v2"}, {"GET", "https://c.example/"}} {
		o := poolOutgoing(t, at[0], at[1]+"?key=canary")
		err := p.Sign(t.Context(), o)
		if !errors.Is(err, fault.CredentialUnavailable) || strings.Contains(fault.From(err).Message, "canary") || len(o.Request.Header) > 0 {
			t.Errorf("%v: got %v and %v, want nothing sent", at, err, o.Request.Header)
		}
	}
	o := poolOutgoing(t, "GET", "https://a.example/")
	uses(t, p, o)
	if v := p.Answered(t.Context(), o, answerOf(401)); v.Again {
		t.Error("again, although no other member may go there")
	}
}

// TestPoolPassesOver a member whose secret cannot be read, and leaves no trace of it.
func TestPoolPassesOver(t *testing.T) {
	now := time.Unix(1e9, 0)
	env := map[string]string{"GOOD": "good"}
	p := pooled(t, "1m", env, func() time.Time { return now }, map[string]string{
		"bad":  bind + "bearer: {token: {secret: env:BAD}}",
		"good": bind + "api_key: {query: key, key: {secret: env:GOOD}}",
	})
	for range 4 {
		o := poolOutgoing(t, "GET", "https://a.example/?a=b")
		if name := uses(t, p, o); name != "good" || o.Request.URL.RawQuery != "a=b&key=good" || len(o.Request.Header) > 0 {
			t.Errorf("%s sent %s %v", name, o.Request.URL.RawQuery, o.Request.Header)
		}
		p.Answered(t.Context(), o, answerOf(200))
	}
	delete(env, "GOOD")
	o := poolOutgoing(t, "GET", "https://a.example/")
	if err := p.Sign(t.Context(), o); !errors.Is(err, fault.CredentialUnavailable) || o.proof != nil || o.Name != "" {
		t.Errorf("got %v, want CREDENTIAL_UNAVAILABLE", err)
	}
	env["BAD"] = "better"
	now = now.Add(2 * time.Minute)
	if name := uses(t, p, poolOutgoing(t, "GET", "https://a.example/")); name != "bad" {
		t.Errorf("%s was taken, want the one whose secret is there", name)
	}
}

// spoiler fails when it has changed half of the request.
type spoiler struct{ settled }

func (spoiler) Sign(_ context.Context, o *Outgoing) error {
	o.set("Authorization", "half")
	u := *o.Request.URL
	u.RawQuery = "half"
	o.Request.URL, o.proof, o.Name = &u, "half", "half"
	o.reveal(secret.NewValue("half"))
	return fault.New(fault.CredentialUnavailable, "no more")
}

// TestPoolLeavesNoTrace of a member that failed.
func TestPoolLeavesNoTrace(t *testing.T) {
	members, env := bearers("x", "y")
	p := pooled(t, "1m", env, nil, members)
	for _, m := range p.members {
		m.signer = spoiler{}
	}
	o := poolOutgoing(t, "GET", "https://a.example/?a=b")
	if err := p.Sign(t.Context(), o); !errors.Is(err, fault.CredentialUnavailable) {
		t.Fatalf("got %v, want CREDENTIAL_UNAVAILABLE", err)
	}
	if len(o.Request.Header)+len(o.Headers)+len(o.Revealed) > 0 || o.Request.URL.RawQuery != "a=b" || o.proof != nil || o.Name != "" {
		t.Errorf("left are %v, %q, %q, %v", o.Request.Header, o.Request.URL.RawQuery, o.Headers, o.proof)
	}
	for _, m := range p.members {
		if m.busy != 0 {
			t.Errorf("%s has %d requests under way", m.cred.Name, m.busy)
		}
	}
}

// TestPoolOfDigests: the one that was challenged answers, and Needs are those of
// all.
func TestPoolOfDigests(t *testing.T) {
	digestOf := func(user string) string {
		return bind + "digest: {username: " + user + ", password: {secret: env:P}}"
	}
	p := pooled(t, "1m", map[string]string{"P": "p"}, nil, map[string]string{"one": digestOf("u1"), "two": digestOf("u2"), "three": digestOf("u3")})
	ask := unauthorized(`Digest realm="r", qop="auth", algorithm=SHA-256, nonce="n"`)
	for range 3 {
		o := poolOutgoing(t, "GET", "https://a.example/")
		name := uses(t, p, o)
		if v := p.Answered(t.Context(), o, ask); !v.Again {
			t.Fatalf("%s was challenged: got %+v, want again", name, v)
		}
		resent := poolOutgoing(t, "GET", "https://a.example/")
		resent.Before = o
		if again := uses(t, p, resent); again != name || paramsOf(t, resent)["username"] == "" {
			t.Errorf("%s was challenged, and %s answered", name, again)
		}
		p.Answered(t.Context(), resent, answerOf(200))
	}
	q := pooled(t, "1m", nil, nil, map[string]string{
		"aws":  bind + "aws: {region: r, service: s3}",
		"oidc": bind + "bearer: {token: {secret: env:X}}",
	})
	if !q.Needs().Body || q.Needs().Subject || p.Needs() != (Needs{}) {
		t.Errorf("needs %+v and %+v", q.Needs(), p.Needs())
	}
}

// TestPoolKeepsNonces: what a member was given is for the request that it asked for,
// as without a pool.
func TestPoolKeepsNonces(t *testing.T) {
	const digest = bind + "digest: {username: u, password: {secret: env:P}}"
	p := pooled(t, "1m", map[string]string{"P": "p"}, nil, map[string]string{"one": digest, "two": digest})
	send := func(before *Outgoing) *Outgoing {
		o := poolOutgoing(t, "GET", "https://a.example/")
		o.Before = before
		uses(t, p, o)
		return o
	}
	var asked [4]*Outgoing
	for i := range asked {
		asked[i] = send(nil)
	}
	for i, o := range asked {
		p.Answered(t.Context(), o, unauthorized(fmt.Sprintf(`Digest realm="r", qop="auth", algorithm=SHA-256, nonce="n%d"`, i)))
	}
	for _, i := range []int{3, 2, 0, 1} {
		if got, want := paramsOf(t, send(asked[i]))["nonce"], fmt.Sprintf("n%d", i); got != want {
			t.Errorf("request %d was given %s, and is sent again with %s", i, want, got)
		}
	}
}

// TestPoolOfCallersTokens: what one caller's own token is refused for is nothing to
// the others.
func TestPoolOfCallersTokens(t *testing.T) {
	members, env := bearers("x", "y")
	p := pooled(t, "1m", env, nil, members)
	for _, m := range p.members {
		m.signer = onBehalf{}
	}
	for _, token := range []string{"", "bad"} {
		o := poolOutgoing(t, "GET", "https://a.example/")
		if token != "" {
			o.Subject = secret.NewValue(token)
		}
		if err := p.Sign(t.Context(), o); (err == nil) != (token != "") {
			t.Fatalf("token %q: %v", token, err)
		}
		p.Answered(t.Context(), o, answerOf(401))
	}
	for _, m := range p.members {
		if !m.rests.IsZero() {
			t.Errorf("%s rests", m.cred.Name)
		}
	}
}

// onBehalf needs the caller's token.
type onBehalf struct{ settled }

func (onBehalf) Needs() Needs { return Needs{Subject: true} }

func (onBehalf) Sign(_ context.Context, o *Outgoing) error {
	if o.Subject.IsZero() {
		return fault.New(fault.CredentialUnavailable, "the caller has no token")
	}
	return nil
}

func TestQuota(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for _, tt := range []struct {
		header    []string
		remaining int64 // -1: none is said
		resets    time.Duration
	}{
		{[]string{"RateLimit", `"default";r=50;t=30`}, 50, 30 * time.Second},
		{[]string{"RateLimit", `"burst";r=100;t=1, "daily";r=7;t=4000;pk=:abc=:`}, 7, 4000 * time.Second},
		{[]string{"RateLimit", `default;r=3`}, 3, time.Minute},
		{[]string{"RateLimit", `"a,b;r=1";r=9;t=2`}, 9, 2 * time.Second},
		{[]string{"RateLimit", `limit=100, remaining=40, reset=5`}, 40, 5 * time.Second},
		{[]string{"RateLimit", `"default";t=30`}, -1, 0},
		{[]string{"RateLimit", `"default;r=1`}, -1, 0},
		{[]string{"RateLimit", `"x";r=-1`}, -1, 0},
		{[]string{"RateLimit", `remaining=`}, -1, 0},
		{[]string{"RateLimit-Remaining", "8", "RateLimit-Reset", "12"}, 8, 12 * time.Second},
		{[]string{"X-RateLimit-Remaining", "4999", "X-RateLimit-Reset", "1700003600"}, 4999, time.Hour},
		{[]string{"X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1700000060000"}, 1, time.Minute},
		{[]string{"X-RateLimit-Remaining", "1, 2;w=3600", "X-RateLimit-Reset", "1600000000"}, 1, time.Minute},
		{[]string{"x-ratelimit-remaining-requests", "59", "x-ratelimit-reset-requests", "6m0.5s"}, 59, 6*time.Minute + 500*time.Millisecond},
		{[]string{"X-RateLimit-Remaining", "2", "X-RateLimit-Reset", "never"}, 2, time.Minute},
		{[]string{"X-RateLimit-Remaining", "2", "X-RateLimit-Reset", "NaN"}, 2, time.Minute},
		{[]string{"X-RateLimit-Remaining", "2", "X-RateLimit-Reset", "99999999"}, 2, maxRest},
		{[]string{"X-RateLimit-Remaining", "lots"}, -1, 0},
		{nil, -1, 0},
	} {
		q, said := quotaOf(answerOf(200, tt.header...).Header, now, time.Minute)
		if !said {
			q.remaining, q.resets = -1, now
		}
		if q.remaining != tt.remaining || q.resets.Sub(now) != tt.resets {
			t.Errorf("%q: got %d for %v, want %d for %v", tt.header, q.remaining, q.resets.Sub(now), tt.remaining, tt.resets)
		}
	}
}

// FuzzQuota: what an upstream says of quotas breaks nothing, and holds for a day at
// most.
func FuzzQuota(f *testing.F) {
	f.Add(`"default";r=50;t=30`, "9", "1700003600")
	f.Add(`remaining=1, reset=99999999999999`, "-1", "1e300")
	f.Add(`"\";r=1";r=00;t=;;r`, "9223372036854775808", "2540400h")
	f.Fuzz(func(t *testing.T, field, remaining, reset string) {
		now := time.Unix(1700000000, 0)
		q, said := quotaOf(http.Header{"Ratelimit": {field}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}}, now, time.Minute)
		if said && (q.remaining < 0 || q.resets.Before(now) || q.resets.Sub(now) > maxRest) {
			t.Errorf("got %d until %v", q.remaining, q.resets)
		}
	})
}
