package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// tokenServer asks an authorization server for tokens.
type tokenServer struct {
	source
	scheme   *policy.OAuth2
	upstream string
	// newest keeps the refresh token; nil: the grant has none.
	newest *rotation
}

func newTokenServer(from source, upstream string, scheme *policy.OAuth2) tokenServer {
	s := tokenServer{source: from, scheme: scheme, upstream: upstream}
	if scheme.Grant == policy.GrantRefresh {
		s.newest = &rotation{path: scheme.Refresh.StateFile}
	}
	return s
}

// spends says that a request may use up what it asks with, so that its answer must
// not be lost.
func (s *tokenServer) spends() bool { return s.newest != nil }

// fetch gets a token; subject is what is exchanged for it, if policy names nothing.
func (s *tokenServer) fetch(ctx context.Context, subject secret.Value) (*accessToken, error) {
	began := s.Now()
	var answer tokenAnswer
	var err error
	if s.spends() {
		answer, err = s.refreshed(ctx)
	} else {
		answer, err = s.granted(ctx, subject)
	}
	if err != nil {
		return nil, err
	}
	life := answer.life
	if life == 0 {
		life = s.scheme.Lifetime
	}
	return newToken(answer.access, began, life), nil
}

// granted asks by a grant that leaves nothing behind.
func (s *tokenServer) granted(ctx context.Context, subject secret.Value) (tokenAnswer, error) {
	form, err := s.grant(ctx, subject)
	if err != nil {
		return tokenAnswer{}, err
	}
	return s.ask(ctx, form)
}

// refreshed asks by the newest refresh token, and keeps the one that comes of it.
func (s *tokenServer) refreshed(ctx context.Context) (tokenAnswer, error) {
	first, err := s.get(ctx, s.scheme.Refresh.Token)
	if err != nil {
		return tokenAnswer{}, err
	}
	return s.newest.use(ctx, first.Reveal(), func(refresh string) (tokenAnswer, error) {
		form := s.form("refresh_token")
		form.Set("refresh_token", refresh)
		return s.ask(ctx, form)
	})
}

// form is what requests of all grants have in them. What policy adds is put first,
// so that it cannot take the place of anything else.
func (s *tokenServer) form(grantType string) url.Values {
	form := url.Values{}
	for name, value := range s.scheme.Params {
		form.Set(name, value)
	}
	form.Set("grant_type", grantType)
	if len(s.scheme.Scopes) > 0 {
		form.Set("scope", strings.Join(s.scheme.Scopes, " "))
	}
	if len(s.scheme.Audience) > 0 {
		form["audience"] = s.scheme.Audience
	}
	if len(s.scheme.Resource) > 0 {
		form["resource"] = s.scheme.Resource
	}
	return form
}

// ask sends a token request (RFC 6749 section 3.2) and reads what comes of it.
func (s *tokenServer) ask(ctx context.Context, form url.Values) (tokenAnswer, error) {
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if err := s.proveClient(ctx, form, header); err != nil {
		return tokenAnswer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.scheme.TokenURL.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return tokenAnswer{}, &noToken{what: "its token_url cannot be called"}
	}
	req.Header = header
	if s.Transport == nil {
		return tokenAnswer{}, &noToken{what: "this process makes no calls of its own"}
	}
	res, err := s.Transport(s.upstream).RoundTrip(req)
	if err != nil {
		return tokenAnswer{}, unreachable(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxTokenAnswer+1))
	if err != nil {
		return tokenAnswer{}, unreachable(err)
	}
	return judgeAnswer(res, body, s.Now())
}

// unreachable says to the caller no more than the kind of a failure.
func unreachable(err error) *noToken {
	var f *fault.Error
	if errors.As(err, &f) {
		return &noToken{what: "its token endpoint gave no answer (" + string(f.Kind) + ")", cause: err, after: f.RetryAfter}
	}
	return &noToken{what: "its token endpoint gave no answer", cause: withoutURL(err)}
}

// withoutURL takes the URL out of what net/http says.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// judgeAnswer is RFC 6749 sections 5.1 and 5.2.
func judgeAnswer(res *http.Response, body []byte, now time.Time) (tokenAnswer, error) {
	status := res.StatusCode
	if len(body) > maxTokenAnswer {
		return tokenAnswer{}, &noToken{what: "its token endpoint's answer is too large", status: status}
	}
	if status == http.StatusOK {
		answer, err := parseTokenAnswer(body)
		if err == nil {
			return answer, nil
		}
		if code := errorCode(body); code != "" {
			return tokenAnswer{}, refusedBy(status, code, askedToWait(res.Header, now))
		}
		return tokenAnswer{}, &noToken{what: "its token endpoint's answer cannot be used: " + err.Error(), status: status}
	}
	return tokenAnswer{}, refusedBy(status, errorCode(body), askedToWait(res.Header, now))
}
