package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

const (
	awsID     = "AKIDEXAMPLE"
	awsSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// vectorRequest reads a request of the test suite, which is as sent but for what no
// request line may hold.
func vectorRequest(t *testing.T, raw string) *Outgoing {
	t.Helper()
	head, body, _ := strings.Cut(strings.ReplaceAll(raw, "\r\n", "\n"), "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	path, query, _ := strings.Cut(strings.TrimSuffix(rest, " HTTP/1.1"), "?")
	o := &Outgoing{Request: (&http.Request{
		Method: method, URL: &url.URL{Scheme: "https", Opaque: path, RawQuery: query}, Header: http.Header{},
	}).WithContext(t.Context())}
	if strings.HasPrefix(path, "//") {
		o.Request.URL.Opaque, o.Request.URL.Path = "", path
	}
	last := ""
	for _, line := range lines[1:] {
		if line[0] == ' ' { // folded
			values := o.Request.Header[last]
			values[len(values)-1] += "\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if last = http.CanonicalHeaderKey(name); last == "Host" {
			o.Request.Host, o.Request.URL.Host = value, value
			continue
		}
		o.Request.Header[last] = append(o.Request.Header[last], value)
	}
	if body != "" {
		o.Request.ContentLength = int64(len(body))
		o.Body = func() io.ReadCloser { return io.NopCloser(strings.NewReader(body)) }
	}
	return o
}

// TestAWSVectors are AWS's own.
func TestAWSVectors(t *testing.T) {
	cases, err := filepath.Glob("testdata/aws-sigv4/*/request.txt")
	if err != nil || len(cases) != 38 {
		t.Fatalf("%d cases, %v; want 38", len(cases), err)
	}
	for _, request := range cases {
		dir := filepath.Dir(request)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			read := func(name string) string {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				return strings.ReplaceAll(string(data), "\r\n", "\n")
			}
			var given struct {
				Credentials struct{ Token string }
				Normalize   bool
				SignBody    bool `json:"sign_body"`
				OmitToken   bool `json:"omit_session_token"`
				Region      string
				Service     string
				Timestamp   time.Time
			}
			if err := json.Unmarshal([]byte(read("context.json")), &given); err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"ID": awsID, "SECRET": awsSecret, "TOKEN": given.Credentials.Token}
			scheme := &policy.AWS{Region: given.Region, Service: given.Service, AccessKeyID: "env:ID", Secret: "env:SECRET"}
			if given.Credentials.Token != "" && !given.OmitToken { // added once signed, if at all
				scheme.SessionToken = "env:TOKEN"
			}
			keep := NewKeep(Config{Secrets: store(t, env), Now: func() time.Time { return given.Timestamp }})
			a := keep.Signer(&policy.Credential{Name: "bot", Scheme: scheme}).(*aws)
			a.form = awsForm{rawPath: !given.Normalize, digest: given.SignBody}
			o := vectorRequest(t, read("request.txt"))
			for name, value := range map[string]string{ // what a caller may not decide
				"Authorization": "mine", "X-Amz-Date": "19990101T000000Z", "X-Amz-Security-Token": "mine", "X-Amz-Content-Sha256": "mine",
			} {
				o.Request.Header[name] = []string{value, value}
			}
			if err := a.Sign(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			signed := vectorRequest(t, read("header-signed-request.txt"))
			if got, want := o.Request.Header["Authorization"], signed.Request.Header["Authorization"]; !slices.Equal(got, want) {
				s := awsSigning{form: a.form, digest: o.Request.Header.Get("X-Amz-Content-Sha256")}
				request, _ := s.canonical(o.Request)
				t.Errorf("got %s\nwant %s\ncanonical request:\n%s\nwant\n%s", got, want, request, read("header-canonical-request.txt"))
			}
			for _, name := range []string{"X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token"} {
				if got, want := o.Request.Header.Get(name), signed.Request.Header.Get(name); got != want && !given.OmitToken {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// signAWS signs o at a fixed time.
func signAWS(t *testing.T, scheme policy.AWS, env map[string]string, o *Outgoing) *aws {
	t.Helper()
	scheme.Region, scheme.AccessKeyID, scheme.Secret = "us-east-1", "env:ID", "env:SECRET"
	env["ID"], env["SECRET"] = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	s := NewKeep(Config{Secrets: store(t, env), Now: func() time.Time { return at }}).Signer(&policy.Credential{Name: "bot", Scheme: &scheme}).(*aws)
	if err := s.Sign(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestS3Vectors are the examples of the S3 documentation, "Signature Calculations
// for the Authorization Header".
func TestS3Vectors(t *testing.T) {
	for _, tt := range []struct {
		method, url string
		header      http.Header
		body        string
		want        string
	}{
		{"GET", "https://examplebucket.s3.amazonaws.com/test.txt", http.Header{"Range": {"bytes=0-9"}}, "", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		{"PUT", "https://examplebucket.s3.amazonaws.com/test$file.text", http.Header{"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}, "Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		{"GET", "https://examplebucket.s3.amazonaws.com/?lifecycle", nil, "", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", nil, "", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	} {
		t.Run(tt.method+" "+tt.url, func(t *testing.T) {
			o := outgoing(t, tt.method, tt.url, tt.header)
			// What is not signed, as it may change on the way.
			o.Request.Header["User-Agent"], o.Request.Header["Accept-Encoding"], o.Request.Header["Traceparent"] = []string{"x"}, []string{"gzip"}, []string{"00-1-2-01"}
			if tt.body != "" {
				o.Request.ContentLength = int64(len(tt.body))
				o.Body = func() io.ReadCloser { return io.NopCloser(strings.NewReader(tt.body)) }
			}
			signAWS(t, policy.AWS{Service: "s3"}, map[string]string{}, o)
			if got := o.Request.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+tt.want) {
				t.Errorf("got %s, want the signature %s", got, tt.want)
			}
		})
	}
}

// TestAWSPaths: S3 reads the path before it codes it, the others code what is sent.
func TestAWSPaths(t *testing.T) {
	for path, want := range map[string][2]string{ // S3, others
		"/":                {"/", "/"},
		"/a%20b":           {"/a%20b", "/a%2520b"},
		"/a(b)+c":          {"/a%28b%29%2Bc", "/a%28b%29%2Bc"},
		"/%e1%88%b4":       {"/%E1%88%B4", "/%25e1%2588%25b4"},
		"//a//b/":          {"//a//b/", "/a/b/"},
		"/a/./b/../c":      {"/a/./b/../c", "/a/c"},
		"/../a/b/..":       {"/../a/b/..", "/a/"},
		"/~a_b-c.d":        {"/~a_b-c.d", "/~a_b-c.d"},
		"/a%2Fb":           {"/a/b", "/a%252Fb"},
		"/a%zz":            {"/a%25zz", "/a%25zz"},
		"/a%2e%2e/b;v=1:2": {"/a../b%3Bv%3D1%3A2", "/a%252e%252e/b%3Bv%3D1%3A2"},
	} {
		for i, service := range []string{"s3", "execute-api"} {
			s := awsSigning{form: formOf(service)}
			if got := s.canonicalPath(path); got != want[i] {
				t.Errorf("%s of %s: got %s, want %s", path, service, got, want[i])
			}
		}
	}
	for query, want := range map[string]string{
		"":                 "",
		"b=2&a=1&a=0":      "a=0&a=1&b=2",
		"a-b=1&a=2":        "a=2&a-b=1",
		"&&x&=1":           "=1&x=",
		"q=a+b%20c%2b;d":   "q=a%20b%20c%2B%3Bd",
		"%7e=%7E&é=%C3%A9": "%C3%A9=%C3%A9&~=~",
		"p=%zz":            "p=%25zz",
		"a=b=c":            "a=b%3Dc",
	} {
		if got := canonicalQuery(query); got != want {
			t.Errorf("query %s: got %s, want %s", query, got, want)
		}
	}
}

func TestAWSPayload(t *testing.T) {
	put := func() *Outgoing {
		o := outgoing(t, "PUT", "https://b.s3.amazonaws.com/k?z=1&a=%7e", http.Header{"Connection": {"close"}})
		o.Request.Host, o.Request.ContentLength = "other.example", 3
		return o
	}
	whole := put()
	whole.Body = func() io.ReadCloser { return io.NopCloser(bytes.NewReader([]byte("abc"))) }
	env := map[string]string{"TOKEN": "session"}
	s := signAWS(t, policy.AWS{Service: "s3", SessionToken: "env:TOKEN", SessionTokenOptional: true}, env, whole)
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := whole.Request.Header.Get("X-Amz-Content-Sha256"); got != sum || !s.Needs().Body {
		t.Errorf("digest: got %s of needs %+v, want that of the body", got, s.Needs())
	}
	if got := whole.Request.Header.Get("Authorization"); !strings.Contains(got, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,") {
		t.Errorf("signed headers of %s", got)
	}
	if got := whole.Request.URL.RawQuery; got != "z=1&a=%7e" {
		t.Errorf("the query that is sent became %s", got)
	}
	canonical, _ := (&awsSigning{digest: sum}).canonical(whole.Request)
	if !strings.Contains(canonical, "\nhost:other.example\n") {
		t.Errorf("not the Host that is sent: %s", canonical)
	}
	if !slices.Equal(whole.Headers, []string{"X-Amz-Security-Token", "Authorization"}) || !slices.Contains(revealed(whole), "session") || slices.Contains(revealed(whole), env["SECRET"]) {
		t.Errorf("headers %q; revealed %d values", whole.Headers, len(whole.Revealed))
	}

	streamed := put()
	s = signAWS(t, policy.AWS{Service: "s3", UnsignedPayload: true, SessionToken: "env:NONE", SessionTokenOptional: true}, map[string]string{}, streamed)
	if got := streamed.Request.Header.Get("X-Amz-Content-Sha256"); got != unsigned || s.Needs().Body {
		t.Errorf("unsigned payload: got %q of needs %+v", got, s.Needs())
	}
	if _, has := streamed.Request.Header["X-Amz-Security-Token"]; has {
		t.Error("a session token from nowhere")
	}
	absent := put()
	if err := signAWS(t, policy.AWS{Service: "s3"}, map[string]string{}, outgoing(t, "GET", "https://x.example/", nil)).Sign(t.Context(), absent); err == nil || len(absent.Request.Header) != 1 {
		t.Errorf("a body that is not there was signed: %v %v", err, absent.Request.Header)
	}
	refused(t, &policy.AWS{Region: "r", Service: "s3", AccessKeyID: "env:ID", Secret: "env:NONE"}, map[string]string{"ID": "AKIA"}, "log of fetchsvc")
	refused(t, &policy.AWS{Region: "r", Service: "s3", AccessKeyID: "env:ID", Secret: "env:ID", SessionToken: "env:NONE"}, map[string]string{"ID": "AKIA"}, "log of fetchsvc")
}

// TestAWSClock: one refusal with a date far from ours sets the clock, further ones
// do not lead to more requests.
func TestAWSClock(t *testing.T) {
	o := outgoing(t, "GET", "https://b.s3.amazonaws.com/k", nil)
	a := signAWS(t, policy.AWS{Service: "s3"}, map[string]string{}, o)
	answer := func(status int, date string, more ...string) *http.Response {
		h := http.Header{"Date": {date}}
		for _, m := range more {
			h.Set(m, "9")
		}
		return &http.Response{StatusCode: status, Header: h}
	}
	const later = "Fri, 24 May 2013 01:00:00 GMT"
	for _, res := range []*http.Response{
		answer(200, later), answer(500, later), answer(403, ""), answer(403, "yesterday"), answer(403, later, "Age"),
		answer(403, "Fri, 24 May 2013 00:03:00 GMT"), answer(403, "Fri, 24 May 2019 00:00:00 GMT"),
	} {
		if v := a.Answered(t.Context(), o, res); v.Again {
			t.Errorf("%d of %q: got %+v, want nothing", res.StatusCode, res.Header, v)
		}
	}
	if v := a.Answered(t.Context(), o, answer(403, later)); !v.Again {
		t.Error("a clock an hour off was not noticed")
	}
	if v := a.Answered(t.Context(), o, answer(403, later)); v.Again {
		t.Error("noticed twice")
	}
	if err := a.Sign(t.Context(), o); err != nil || o.Request.Header.Get("X-Amz-Date") != "20130524T010000Z" {
		t.Errorf("dated %s, %v; want AWS's time", o.Request.Header.Get("X-Amz-Date"), err)
	}
	if v := a.Answered(t.Context(), o, answer(400, "Fri, 24 May 2013 00:00:01 GMT")); !v.Again {
		t.Error("a clock that was set right was not noticed")
	}
}
