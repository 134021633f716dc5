package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// sts answers as AWS documents for AssumeRole, in this process.
type sts struct {
	mu     sync.Mutex
	asked  int
	forms  []string
	auths  []string
	answer func(asked int, r *http.Request) *http.Response // nil: keys for an hour
	gate   chan struct{}                                   // nil: it answers at once
}

const stsKeys = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser><AssumedRoleId>AROA:fetchsvc</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/fetchsvc</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIA%d</AccessKeyId>
      <SecretAccessKey>temporary/secret</SecretAccessKey>
      <SessionToken>temporary//token==</SessionToken>
      <Expiration>%s</Expiration>
    </Credentials>
  </AssumeRoleResult>
  <ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>
</AssumeRoleResponse>`

const stsRefusal = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>` +
	`<Message>User arn:aws:iam::1:user/CANARY is not authorized</Message></Error><RequestId>1</RequestId></ErrorResponse>`

func stsSays(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

func stsGives(n int, life time.Duration) *http.Response {
	return stsSays(200, fmt.Sprintf(stsKeys, n, time.Now().Add(life).UTC().Format(time.RFC3339)))
}

func (s *sts) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.asked++
	n, gate, answer := s.asked, s.gate, s.answer
	s.forms, s.auths = append(s.forms, string(body)), append(s.auths, r.Header.Get("Authorization"))
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if answer != nil {
		if res := answer(n, r); res != nil {
			return res, nil
		}
		return nil, errors.New("no route to CANARY")
	}
	return stsGives(n, time.Hour), nil
}

func (s *sts) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func roleSigner(t *testing.T, peer *sts, log io.Writer) *aws {
	t.Helper()
	at, err := target.Parse("https://sts.eu-central-1.amazonaws.com/")
	if err != nil {
		t.Fatal(err)
	}
	keep := NewKeep(Config{
		Secrets:   store(t, map[string]string{"ID": awsID, "SECRET": awsSecret}),
		Log:       slog.New(slog.NewTextHandler(log, nil)),
		Transport: func(string) http.RoundTripper { return peer },
	})
	t.Cleanup(keep.Close)
	return keep.Signer(&policy.Credential{Name: "bot", ID: "bot", Upstream: "system.sts/bot", Scheme: &policy.AWS{
		Region: "eu-central-1", Service: "s3", AccessKeyID: "env:ID", Secret: "env:SECRET",
		Role: &policy.AssumeRole{ARN: "arn:aws:iam::1:role/r", SessionName: "fetchsvc", ExternalID: "x&1", Duration: time.Hour, STS: at},
	}}).(*aws)
}

// signRole signs a request and gives the key's id that did.
func signRole(t *testing.T, ctx context.Context, a *aws) (string, error) {
	o := outgoing(t, "GET", "https://b.s3.amazonaws.com/k", nil)
	if err := a.Sign(ctx, o); err != nil {
		if len(o.Request.Header) > 0 {
			t.Errorf("the request was changed: %v", o.Request.Header)
		}
		return "", err
	}
	_, rest, _ := strings.Cut(o.Request.Header.Get("Authorization"), "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	if o.Request.Header.Get("X-Amz-Security-Token") != "temporary//token==" {
		t.Errorf("the session token is %q", o.Request.Header.Get("X-Amz-Security-Token"))
	}
	return id, nil
}

// TestAssumeRole: what STS is asked, and that two hundred callers ask it once.
func TestAssumeRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{gate: make(chan struct{})}
		a := roleSigner(t, peer, io.Discard)
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA1" {
					t.Errorf("signed by %q, %v; want the role's keys", id, err)
				}
			})
		}
		synctest.Wait()
		close(peer.gate)
		all.Wait()
		if n := peer.requests(); n != 1 {
			t.Errorf("STS was asked %d times, want once", n)
		}
		const form = "Action=AssumeRole&DurationSeconds=3600&ExternalId=x%261&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=fetchsvc&Version=2011-06-15"
		if peer.forms[0] != form {
			t.Errorf("asked %s\nwant %s", peer.forms[0], form)
		}
		day := time.Now().UTC().Format("20060102")
		if want := "AWS4-HMAC-SHA256 Credential=" + awsID + "/" + day + "/eu-central-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, "; !strings.HasPrefix(peer.auths[0], want) {
			t.Errorf("signed by %s, want %s", peer.auths[0], want)
		}
	})
}

// TestAssumeRoleRenews: behind the scenes ahead of the end, while the old keys go
// on signing; and they sign till their end where STS fails.
func TestAssumeRoleRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{}
		a := roleSigner(t, peer, io.Discard)
		step := func(what, want string, asked int) {
			t.Helper()
			if id, err := signRole(t, t.Context(), a); id != want || (want == "") != (err != nil) {
				t.Errorf("%s: signed by %q, %v; want %q", what, id, err, want)
			}
			synctest.Wait()
			if n := peer.requests(); n != asked {
				t.Errorf("%s: STS was asked %d times, want %d", what, n, asked)
			}
		}
		step("cold", "ASIA1", 1)
		time.Sleep(50 * time.Minute)
		step("good for ten minutes more", "ASIA1", 1)
		time.Sleep(6 * time.Minute)
		step("near its end", "ASIA1", 2)
		step("renewed", "ASIA2", 2)
		peer.answer = func(int, *http.Request) *http.Response { return stsSays(503, "") }
		time.Sleep(56 * time.Minute)
		step("near its end, STS fails", "ASIA2", 3)
		step("and is left alone", "ASIA2", 3)
		time.Sleep(time.Minute)
		step("for a while", "ASIA2", 4)
		time.Sleep(5 * time.Minute)
		step("ended", "", 5)
		step("told at once", "", 5)
		time.Sleep(stsMostPause)
		peer.answer = nil
		step("STS is back", "ASIA6", 6)
	})
}

// TestAssumeRoleFails closed, and says STS's error code and nothing else of what it
// says.
func TestAssumeRoleFails(t *testing.T) {
	long := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, tt := range []struct {
		name   string
		answer *http.Response
		want   string
	}{
		{"refused", stsSays(403, fmt.Sprintf(stsRefusal, "AccessDenied")), "answered 403 (AccessDenied)"},
		{"a code that is none", stsSays(400, fmt.Sprintf(stsRefusal, "CANARY is a word\n")), "answered 400"},
		{"no XML", stsSays(200, "CANARY"), "no keys"},
		{"HTML", stsSays(502, "<html><body>CANARY"), "answered 502"},
		{"an answer of another action", stsSays(200, "<GetCallerIdentityResponse/>"), "no keys"},
		{"half of the keys", stsSays(200, strings.Replace(fmt.Sprintf(stsKeys, 1, long), "SessionToken>", "Other>", 2)), "no keys"},
		{"control characters", stsSays(200, strings.Replace(fmt.Sprintf(stsKeys, 1, long), "temporary//token", "temp&#10;orary", 1)), "no keys"},
		{"ended already", stsGives(1, time.Second), "ended already"},
		{"huge", stsSays(200, fmt.Sprintf(stsKeys, 1, long)+strings.Repeat(" ", maxSTS)), "no keys"},
		{"unreachable", nil, "cannot be reached"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			a := roleSigner(t, &sts{answer: func(int, *http.Request) *http.Response { return tt.answer }}, &log)
			_, err := signRole(t, t.Context(), a)
			f := fault.From(err)
			if !errors.Is(err, fault.CredentialUnavailable) || !strings.Contains(f.Message, tt.want) || !strings.Contains(f.Message, `"bot"`) {
				t.Errorf("got %v, want CREDENTIAL_UNAVAILABLE of bot saying %q", err, tt.want)
			}
			if strings.Contains(f.Message, "CANARY") || tt.answer != nil && strings.Contains(log.String(), "CANARY") {
				t.Errorf("what STS says came out: %s; log %s", f.Message, log.String())
			}
			if !strings.Contains(log.String(), "credential=bot") {
				t.Errorf("the log says %q, want the credential", log.String())
			}
		})
	}
}

// TestAssumeRoleWaits: each caller's own time ends its wait, the others go on, and
// the keys that come serve all.
func TestAssumeRoleWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{gate: make(chan struct{})}
		a := roleSigner(t, peer, io.Discard)
		short, cancel := context.WithTimeoutCause(t.Context(), time.Second, fault.New(fault.AttemptTimeout, "the try's time is over"))
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := signRole(t, short, a); !errors.Is(err, fault.AttemptTimeout) {
				t.Errorf("got %v, want the caller's own end", err)
			}
		})
		all.Go(func() {
			if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA1" {
				t.Errorf("signed by %q, %v", id, err)
			}
		})
		time.Sleep(5 * time.Second)
		close(peer.gate)
		all.Wait()
		if n := peer.requests(); n != 1 {
			t.Errorf("STS was asked %d times, want once", n)
		}
		// One that never answers.
		peer.gate = make(chan struct{})
		b := roleSigner(t, peer, io.Discard)
		before := time.Now()
		if _, err := signRole(t, t.Context(), b); !errors.Is(err, fault.CredentialUnavailable) || time.Since(before) != stsTime {
			t.Errorf("got %v after %v, want CREDENTIAL_UNAVAILABLE after %v", err, time.Since(before), stsTime)
		}
	})
}

// TestAssumeRoleEnds: closing ends a request that is under way. Calls that still
// hold the Signer, of the policy before, ask themselves.
func TestAssumeRoleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{gate: make(chan struct{})}
		var log bytes.Buffer
		a := roleSigner(t, peer, &log)
		var all sync.WaitGroup
		all.Go(func() {
			if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA2" {
				t.Errorf("signed by %q, %v; want keys of its own", id, err)
			}
		})
		synctest.Wait()
		a.close()
		synctest.Wait()
		close(peer.gate)
		all.Wait()
		if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA2" || log.Len() > 0 {
			t.Errorf("signed by %q, %v; want the same keys; log %q", id, err, log.String())
		}
		time.Sleep(2 * time.Hour)
		peer.answer = func(int, *http.Request) *http.Response { return stsSays(403, "") }
		if _, err := signRole(t, t.Context(), a); !errors.Is(err, fault.CredentialUnavailable) {
			t.Errorf("got %v, want CREDENTIAL_UNAVAILABLE", err)
		}
	})
}

// TestAssumeRoleDropped: keys that AWS says have ended are fetched anew, once.
func TestAssumeRoleDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{}
		a := roleSigner(t, peer, io.Discard)
		ended := &http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Errortype": {"ExpiredTokenException:http://internal/"}}}
		o := outgoing(t, "GET", "https://b.s3.amazonaws.com/k", nil)
		if err := a.Sign(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if v := a.Answered(t.Context(), o, ended); v.Again {
			t.Error("keys that came just now were dropped")
		}
		time.Sleep(10 * time.Minute)
		for range 3 { // of many calls by the same keys
			if v := a.Answered(t.Context(), o, ended); !v.Again {
				t.Error("keys that have ended were kept")
			}
		}
		if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA2" {
			t.Errorf("signed by %q, %v; want new keys", id, err)
		}
		if v := a.Answered(t.Context(), o, ended); !v.Again {
			t.Error("an answer to the old keys: others may do better")
		}
		if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA2" {
			t.Errorf("signed by %q, %v; want the same", id, err)
		}
	})
}

// TestAssumeRoleClock: STS tells the time to one whose clock is off.
func TestAssumeRoleClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &sts{answer: func(n int, r *http.Request) *http.Response {
			at := time.Now().Add(2 * time.Hour)
			res := stsSays(403, fmt.Sprintf(stsRefusal, "SignatureDoesNotMatch"))
			if got, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err == nil && at.Sub(got).Abs() < time.Minute {
				res = stsGives(n, 3*time.Hour)
			}
			res.Header.Set("Date", at.UTC().Format(http.TimeFormat))
			return res
		}}
		a := roleSigner(t, peer, io.Discard)
		if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA2" {
			t.Fatalf("signed by %q, %v", id, err)
		}
		time.Sleep(50 * time.Minute)
		if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA2" || peer.requests() != 2 {
			t.Errorf("signed by %q, %v; want an hour of use from one request", id, err)
		}
		time.Sleep(6 * time.Minute)
		_, _ = signRole(t, t.Context(), a)
		synctest.Wait()
		if n := peer.requests(); n != 3 {
			t.Errorf("STS was asked %d times, want once more before the hour by its clock ends", n)
		}
	})
}

// TestAssumeRoleOnTheWire: as TestAssumeRole, by HTTP.
func TestAssumeRoleOnTheWire(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.PostForm.Get("RoleArn") != "arn:aws:iam::1:role/r" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, stsKeys, 1, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	at, err := target.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	keep := NewKeep(Config{
		Secrets:   store(t, map[string]string{"ID": awsID, "SECRET": awsSecret}),
		Transport: func(string) http.RoundTripper { return server.Client().Transport },
	})
	t.Cleanup(keep.Close)
	a := keep.Signer(&policy.Credential{Name: "bot", ID: "bot", Scheme: &policy.AWS{
		Region: "eu-central-1", Service: "s3", AccessKeyID: "env:ID", Secret: "env:SECRET",
		Role: &policy.AssumeRole{ARN: "arn:aws:iam::1:role/r", SessionName: "fetchsvc", Duration: time.Hour, STS: at},
	}}).(*aws)
	if id, err := signRole(t, t.Context(), a); err != nil || id != "ASIA1" {
		t.Errorf("signed by %q, %v", id, err)
	}
}
