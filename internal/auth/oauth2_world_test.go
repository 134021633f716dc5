package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// asked is a token request.
type asked struct {
	*http.Request
	form url.Values
	at   time.Time
}

// issuing is an authorization server without a network. It answers as the test says,
// and by token-1, token-2, … where it says nothing, which are good for an hour.
type issuing struct {
	answer func(n int, a asked) (*http.Response, error)

	mu  sync.Mutex
	all []asked
}

func (i *issuing) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	a := asked{r, form, time.Now()}
	i.mu.Lock()
	i.all = append(i.all, a)
	n, answer := len(i.all), i.answer
	i.mu.Unlock()
	if answer == nil {
		return issued(n, 3600), nil
	}
	return answer(n, a)
}

// says changes the answer.
func (i *issuing) says(answer func(int, asked) (*http.Response, error)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// requests are those that came so far.
func (i *issuing) requests() []asked {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]asked(nil), i.all...)
}

func (i *issuing) count() int { return len(i.requests()) }

// issued is an answer with token-n, which is good for so many seconds.
func issued(n, seconds int) *http.Response {
	return answered(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, n, seconds))
}

func answered(status int, body string, header ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		res.Header.Add(name, value)
	}
	return res
}

// written is a log that a test can read.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// credential is a Signer with what it talks to.
type credential struct {
	Signer
	t    *testing.T
	log  *written
	keep *Keep
	// cred is what policy has of it.
	cred *policy.Credential
}

// pocket are secrets that may change meanwhile.
type pocket struct {
	mu  sync.Mutex
	all map[string]string
}

// secretsOf are those that the tests have in common. None may show where it should
// not.
func secretsOf() *pocket {
	return &pocket{all: map[string]string{
		"SECRET": "s3cret-canary/+ &ü", "REFRESH": "refresh-canary-0", "SUBJECT": "subject-canary", "ACTOR": "actor-canary",
	}}
}

// with has one more, or another. An empty one is none.
func (p *pocket) with(name, value string) *pocket {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[name] = value
	return p
}

func (p *pocket) look(name string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[name], p.all[name] != ""
}

// oauthCredential makes one of scheme, whose token requests go to server. What the
// scheme leaves open is filled in as policy would.
func oauthCredential(t *testing.T, server http.RoundTripper, scheme policy.OAuth2) *credential {
	t.Helper()
	return secretsOf().credential(t, server, scheme)
}

// credential is oauthCredential with the secrets of p.
func (p *pocket) credential(t *testing.T, server http.RoundTripper, scheme policy.OAuth2) *credential {
	t.Helper()
	if scheme.Grant == "" {
		scheme.Grant = policy.GrantClientCredentials
	}
	if scheme.ClientAuth == "" {
		scheme.ClientAuth = policy.ClientAuthNone
		if scheme.ClientSecret != "" {
			scheme.ClientAuth = policy.ClientSecretBasic
		}
	}
	if scheme.TokenURL.Scheme == "" {
		scheme.TokenURL = tokenURL(t, "https://auth.example/token")
	}
	if scheme.Lifetime == 0 {
		scheme.Lifetime = 5 * time.Minute
	}
	log := &written{}
	k := NewKeep(Config{
		Secrets: secret.New(secret.Config{LookupEnv: p.look}), Log: slog.New(slog.NewTextHandler(log, nil)),
		Transport: func(upstream string) http.RoundTripper {
			if upstream != "system.token/partner" {
				t.Errorf("the token request goes to upstream %q, want system.token/partner", upstream)
			}
			return server
		},
	})
	t.Cleanup(k.Close)
	cred := &policy.Credential{Name: "partner", ID: "partner-1", Upstream: "system.token/partner", Scheme: &scheme}
	return &credential{Signer: k.Signer(cred), t: t, log: log, keep: k, cred: cred}
}

func tokenURL(t *testing.T, raw string) target.URL {
	t.Helper()
	u, err := target.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// call signs a request, and gives its Authorization.
func (c *credential) call(ctx context.Context, subject string) (*Outgoing, string, error) {
	r := (&http.Request{Method: "GET", Header: http.Header{"Authorization": {"Basic of-the-caller"}}}).WithContext(ctx)
	o := &Outgoing{Request: r}
	if subject != "" {
		o.Subject = secret.NewValue(subject)
	}
	if err := c.Sign(ctx, o); err != nil {
		if len(o.Revealed) > 0 || r.Header.Get("Authorization") != "Basic of-the-caller" {
			c.t.Errorf("what could not be signed was changed: %v", r.Header)
		}
		return o, "", err
	}
	return o, r.Header.Get("Authorization"), nil
}

// want calls, and holds that the token is the one.
func (c *credential) want(token string) *Outgoing {
	c.t.Helper()
	o, got, err := c.call(c.t.Context(), "")
	if err != nil || got != "Bearer "+token {
		c.t.Fatalf("signed with %q, %v, want Bearer %s", got, err, token)
	}
	return o
}

// fails calls, and holds that there is no token; it gives the failure.
func (c *credential) fails(says ...string) *fault.Error {
	c.t.Helper()
	_, got, err := c.call(c.t.Context(), "")
	if !errors.Is(err, fault.CredentialUnavailable) {
		c.t.Fatalf("signed with %q, %v, want CREDENTIAL_UNAVAILABLE", got, err)
	}
	f := fault.From(err)
	for _, text := range append(says, `"partner"`) {
		if !strings.Contains(f.Message, text) {
			c.t.Errorf("the caller hears %q, want %q in it", f.Message, text)
		}
	}
	if !f.SafeToRetry || f.Wire != fault.Unsent {
		c.t.Errorf("nothing was sent, yet the failure is %+v", f)
	}
	c.hidden(f.Message)
	c.hidden(f.Error())
	return f
}

// hidden holds that there is no secret in text.
func (c *credential) hidden(text string) {
	c.t.Helper()
	for _, canary := range []string{"canary", "s3cret"} {
		if strings.Contains(text, canary) {
			c.t.Errorf("a secret is shown: %q", text)
		}
	}
}

// many calls from n callers at once, and counts the tokens they got; errors count by
// their text.
func (c *credential) many(n int) map[string]int {
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, token, err := c.call(c.t.Context(), "")
			if err != nil {
				token = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			got[token]++
		})
	}
	wg.Wait()
	return got
}
