package auth

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// outgoing is a request as the engine makes them: with its path as it is sent.
func outgoing(t *testing.T, method, raw string, h http.Header) *Outgoing {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(u.EscapedPath(), "//") {
		u.Opaque, u.Path, u.RawPath = u.EscapedPath(), "", ""
	}
	if h == nil {
		h = http.Header{}
	}
	return &Outgoing{Request: (&http.Request{Method: method, URL: u, Host: u.Host, Header: h}).WithContext(t.Context())}
}

func revealed(o *Outgoing) (all []string) {
	for _, v := range o.Revealed {
		all = append(all, v.Reveal())
	}
	slices.Sort(all)
	return all
}

// signed signs a GET of raw by scheme.
func signed(t *testing.T, scheme policy.Scheme, env map[string]string, raw string, h http.Header) *Outgoing {
	t.Helper()
	o := outgoing(t, "GET", raw, h)
	if err := signer("bot", scheme, store(t, env)).Sign(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// refused signs a GET by scheme, which must fail without touching it.
func refused(t *testing.T, scheme policy.Scheme, env map[string]string, want string) {
	t.Helper()
	h := http.Header{"Authorization": {"the caller's"}, "Cookie": {"a=b"}}
	o := outgoing(t, "GET", "https://api.example.com/?a=b", maps.Clone(h))
	err := signer("bot", scheme, store(t, env)).Sign(t.Context(), o)
	if !errors.Is(err, fault.CredentialUnavailable) || !strings.Contains(fault.From(err).Message, want) {
		t.Errorf("got %v, want CREDENTIAL_UNAVAILABLE saying %q", err, want)
	}
	for _, secret := range env {
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error has the secret %q in it: %v", secret, err)
		}
	}
	if !maps.EqualFunc(o.Request.Header, h, slices.Equal) || o.Request.URL.RawQuery != "a=b" || o.Revealed != nil || o.Headers != nil {
		t.Errorf("the request was changed: %v %s", o.Request.Header, o.Request.URL)
	}
}

func TestBasic(t *testing.T) {
	env := map[string]string{"USER": "sk_live", "PASS": "test\u00a3:x"}
	for _, tt := range []struct {
		name, want string
		scheme     policy.Basic
		revealed   []string
	}{
		{"RFC 7617 section 2.1", "dGVzdDoxMjPCow==", policy.Basic{Username: "test", Password: "env:RFC"}, []string{"123\u00a3", "test:123\u00a3"}},
		{"a password with a colon", base64.StdEncoding.EncodeToString([]byte("u:test\u00a3:x")), policy.Basic{Username: "u", Password: "env:PASS"}, []string{"test\u00a3:x", "u:test\u00a3:x"}},
		{"the user name is the secret", base64.StdEncoding.EncodeToString([]byte("sk_live:")), policy.Basic{SecretUsername: "env:USER"}, []string{"sk_live", "sk_live:"}},
		{"a password alone", base64.StdEncoding.EncodeToString([]byte(":sk_live")), policy.Basic{Password: "env:USER"}, []string{":sk_live", "sk_live"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env["RFC"] = "123\u00a3"
			o := signed(t, &tt.scheme, env, "https://api.example.com/", http.Header{"Authorization": {"Bearer of the caller", "two"}})
			if got := o.Request.Header["Authorization"]; !slices.Equal(got, []string{"Basic " + tt.want}) {
				t.Errorf("Authorization: got %q, want Basic %s alone", got, tt.want)
			}
			want := slices.Sorted(slices.Values(append(tt.revealed, tt.want)))
			if got := revealed(o); !slices.Equal(got, want) || !slices.Equal(o.Headers, []string{"Authorization"}) {
				t.Errorf("revealed %q in %q, want %q in Authorization", got, o.Headers, want)
			}
		})
	}
	refused(t, &policy.Basic{SecretUsername: "env:U"}, map[string]string{"U": "us3r:pw"}, "colon")
	refused(t, &policy.Basic{Username: "u", Password: "env:NONE"}, nil, "log of fetchsvc")
}

func TestAPIKey(t *testing.T) {
	env := map[string]string{"KEY": "k&y =/+\u00e9"}
	const coded = "k%26y%20%3D%2F%2B%C3%A9"
	t.Run("header", func(t *testing.T) {
		o := signed(t, &policy.APIKey{Header: "X-Api-Key", Prefix: "Token ", Key: "env:KEY"}, env, "https://a.example/?q", http.Header{"X-Api-Key": {"mine", "too"}})
		if got := o.Request.Header["X-Api-Key"]; !slices.Equal(got, []string{"Token " + env["KEY"]}) || !slices.Equal(o.Headers, []string{"X-Api-Key"}) {
			t.Errorf("got %q noted in %q, want the key alone", got, o.Headers)
		}
		if got := revealed(o); !slices.Equal(got, []string{env["KEY"]}) {
			t.Errorf("revealed %q, want the key", got)
		}
	})
	for query, want := range map[string]string{
		"":                          "key=" + coded,
		"a=1":                       "a=1&key=" + coded,
		"z=%7e&a=b+c&&a=%20":        "z=%7e&a=b+c&&a=%20&key=" + coded,
		"key=mine&a=1&k%65y=2&KEY=": "a=1&KEY=&key=" + coded,
		"key":                       "key=" + coded,
		"%zz=1&keys=2&;":            "%zz=1&keys=2&;&key=" + coded,
	} {
		t.Run("query "+query, func(t *testing.T) {
			o := outgoing(t, "GET", "https://a.example/p", nil)
			o.Request.URL.RawQuery = query
			before := *o.Request.URL
			old := o.Request.URL
			if err := signer("bot", &policy.APIKey{Query: "key", Key: "env:KEY"}, store(t, env)).Sign(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if got := o.Request.URL.RawQuery; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if *old != before {
				t.Errorf("the URL that was given is now %s", old)
			}
			if len(o.Headers) > 0 || !slices.Equal(revealed(o), []string{coded, env["KEY"]}) {
				t.Errorf("revealed %q, headers %q", revealed(o), o.Headers)
			}
		})
	}
	if got := signed(t, &policy.APIKey{Query: "a b[]", Key: "env:KEY"}, env, "https://a.example/?a+b%5B%5D=1", nil).Request.URL.RawQuery; got != "a%20b%5B%5D="+coded {
		t.Errorf("a name that needs escapes: got %s", got)
	}
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{nil, "sid=k1"},
		{[]string{"a=b; c=\"d e\""}, `a=b; c="d e"; sid=k1`},
		{[]string{"a=b;sid=mine; sid =x", "c; SID=1"}, "a=b; c; SID=1; sid=k1"},
	} {
		o := signed(t, &policy.APIKey{Cookie: "sid", Key: "env:K"}, map[string]string{"K": "k1"}, "https://a.example/", http.Header{"Cookie": tt.lines})
		if got := o.Request.Header["Cookie"]; !slices.Equal(got, []string{tt.want}) || !slices.Equal(o.Headers, []string{"Cookie"}) {
			t.Errorf("cookies %q: got %q in %q, want %q", tt.lines, got, o.Headers, tt.want)
		}
	}
	refused(t, &policy.APIKey{Cookie: "sid", Key: "env:K"}, map[string]string{"K": "k1; admin=1"}, "cookie")
	refused(t, &policy.APIKey{Query: "key", Key: "env:NONE"}, nil, "log of fetchsvc")
}

func TestHeaderTemplates(t *testing.T) {
	scheme := &policy.Headers{
		Set: []policy.HeaderTemplate{
			{Name: "X-Auth", Value: policy.Template{{Text: "key=", Name: "key"}, {Text: ";tenant=acme$", Name: "key"}}},
			{Name: "X-Id", Value: policy.Template{{Name: "id"}}},
		},
		Secrets: map[string]policy.SecretRef{"key": "env:KEY", "id": "env:ID"},
	}
	env := map[string]string{"KEY": "k1", "ID": "i1"}
	o := signed(t, scheme, env, "https://a.example/", http.Header{"X-Id": {"mine"}, "X-Other": {"stays"}})
	want := http.Header{"X-Auth": {"key=k1;tenant=acme$k1"}, "X-Id": {"i1"}, "X-Other": {"stays"}}
	if !maps.EqualFunc(o.Request.Header, want, slices.Equal) {
		t.Errorf("got %v, want %v", o.Request.Header, want)
	}
	if !slices.Equal(revealed(o), []string{"i1", "k1"}) || !slices.Equal(o.Headers, []string{"X-Auth", "X-Id"}) {
		t.Errorf("revealed %q in %q", revealed(o), o.Headers)
	}
	refused(t, scheme, map[string]string{"KEY": "k1"}, "log of fetchsvc")
	refused(t, &policy.Headers{Set: []policy.HeaderTemplate{{Name: "X-A", Value: policy.Template{{Name: "none"}}}}}, nil, "${none} in its X-A header")
	refused(t, &policy.Headers{Set: []policy.HeaderTemplate{
		{Name: "X-A", Value: policy.Template{{Text: "fine"}}}, {Name: "X-B", Value: policy.Template{{Text: "a\nX-C: d"}}},
	}}, nil, "X-B header would have a control character")
}
