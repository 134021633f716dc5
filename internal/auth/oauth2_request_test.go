package auth

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

const basicPair = "fetch%2Fsvc:s3cret-canary%2F%2B+%26%C3%BC" // as RFC 6749 section 2.3.1 and appendix B have it

// TestTokenRequests: what is sent, to the last parameter. `JWT` stands for an
// assertion.
func TestTokenRequests(t *testing.T) {
	secrets := secretsOf().with("KEY", keyPEM(t, ecKey()))
	clientKey := policy.SigningKey{Key: "env:KEY"}
	everything := policy.OAuth2{
		ClientID: "fetch/svc", ClientSecret: "env:SECRET", Scopes: []string{"read", "write"}, Audience: []string{"https://a.example", "b"},
		Resource: []string{"https://r.example/1", "https://r.example/2"}, Params: map[string]string{"tenant": "acme & co"},
	}
	with := func(change func(*policy.OAuth2)) policy.OAuth2 {
		s := everything
		s.Scopes, s.Audience, s.Resource, s.Params = nil, nil, nil, nil
		change(&s)
		return s
	}
	tests := []struct {
		name   string
		scheme policy.OAuth2
		call   string // the caller's own token
		want   string
		basic  bool
	}{
		{name: "client_credentials", scheme: everything, basic: true,
			want: "audience=https%3A%2F%2Fa.example&audience=b&grant_type=client_credentials&resource=https%3A%2F%2Fr.example%2F1&resource=https%3A%2F%2Fr.example%2F2&scope=read+write&tenant=acme+%26+co"},
		{name: "client_secret_post", scheme: with(func(s *policy.OAuth2) { s.ClientAuth = policy.ClientSecretPost }),
			want: "client_id=fetch%2Fsvc&client_secret=s3cret-canary%2F%2B+%26%C3%BC&grant_type=client_credentials"},
		{name: "none", scheme: with(func(s *policy.OAuth2) { s.ClientAuth = policy.ClientAuthNone }),
			want: "client_id=fetch%2Fsvc&grant_type=client_credentials"},
		{name: "tls_client_auth", scheme: with(func(s *policy.OAuth2) { s.ClientAuth = policy.TLSClientAuth }),
			want: "client_id=fetch%2Fsvc&grant_type=client_credentials"},
		{name: "private_key_jwt", scheme: with(func(s *policy.OAuth2) {
			s.ClientAuth, s.ClientKey, s.ClientAssertion = policy.PrivateKeyJWT, clientKey, "https://auth.example"
		}), want: "client_assertion=JWT&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id=fetch%2Fsvc&grant_type=client_credentials"},
		{name: "params take the place of nothing", scheme: with(func(s *policy.OAuth2) {
			s.ClientAuth, s.Params = policy.ClientAuthNone, map[string]string{"grant_type": "password", "client_id": "other"}
		}), want: "client_id=fetch%2Fsvc&grant_type=client_credentials"},
		{name: "refresh", scheme: with(func(s *policy.OAuth2) {
			s.Grant, s.Refresh.Token, s.Scopes = policy.GrantRefresh, "env:REFRESH", []string{"read"}
		}), basic: true, want: "grant_type=refresh_token&refresh_token=refresh-canary-0&scope=read"},
		{name: "jwt_bearer", scheme: with(func(s *policy.OAuth2) {
			s.Grant, s.Assertion, s.Scopes = policy.GrantAssertion, policy.AssertionGrant{Key: clientKey, Issuer: "i", Subject: "s", Audience: "a", Lifetime: time.Minute}, []string{"read"}
		}), basic: true, want: "assertion=JWT&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=read"},
		{name: "jwt_bearer without a client", scheme: with(func(s *policy.OAuth2) {
			s.Grant, s.ClientAuth, s.ClientID, s.Assertion = policy.GrantAssertion, policy.ClientAuthNone, "", policy.AssertionGrant{Key: clientKey}
		}), want: "assertion=JWT&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"},
		{name: "token_exchange of the caller's", call: "caller-canary", basic: true, scheme: with(func(s *policy.OAuth2) {
			s.Grant, s.Exchange.SubjectType, s.Audience = policy.GrantExchange, "urn:ietf:params:oauth:token-type:jwt", []string{"backend"}
		}), want: "audience=backend&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=caller-canary&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"},
		{name: "token_exchange of the policy's", call: "caller-canary", basic: true, scheme: with(func(s *policy.OAuth2) {
			s.Grant, s.Exchange = policy.GrantExchange, policy.ExchangeGrant{Subject: "env:SUBJECT", SubjectType: "st", Actor: "env:ACTOR", ActorType: "at", RequestedType: "rt"}
		}), want: "actor_token=actor-canary&actor_token_type=at&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&requested_token_type=rt&subject_token=subject-canary&subject_token_type=st"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &issuing{}
			c := secrets.credential(t, server, tt.scheme)
			if _, _, err := c.call(t.Context(), tt.call); err != nil {
				t.Fatal(err)
			}
			got := server.requests()[0]
			masked := url.Values{}
			maps.Copy(masked, got.form)
			for _, name := range []string{"assertion", "client_assertion"} {
				if strings.Count(masked.Get(name), ".") == 2 {
					masked.Set(name, "JWT")
				}
			}
			if masked.Encode() != tt.want {
				t.Errorf("the form is\n%s\nwant\n%s", masked.Encode(), tt.want)
			}
			header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
			if tt.basic {
				header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(basicPair))}
			}
			if got.Method != "POST" || got.URL.String() != "https://auth.example/token" || !reflect.DeepEqual(got.Header, header) {
				t.Errorf("sent %s %s %v, want POST https://auth.example/token %v", got.Method, got.URL, got.Header, header)
			}
			if again, err := got.GetBody(); err != nil || again == nil {
				t.Errorf("the request cannot be repeated: %v", err)
			}
		})
	}
}

// TestClientAssertion: RFC 7523 section 3, by the library that servers use, too.
func TestClientAssertion(t *testing.T) {
	secrets := secretsOf().with("KEY", keyPEM(t, ecKey()))
	server := &issuing{answer: func(n int, _ asked) (*http.Response, error) { return issued(n, 1), nil }}
	synctest.Test(t, func(t *testing.T) {
		c := secrets.credential(t, server, policy.OAuth2{
			ClientID: "fetchsvc", ClientAuth: policy.PrivateKeyJWT, ClientKey: policy.SigningKey{Key: "env:KEY", KeyID: "k1"}, ClientAssertion: "https://auth.example",
		})
		ids := map[any]bool{}
		for range 3 {
			if _, _, err := c.call(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		for _, a := range server.requests() {
			token, claims := verified(t, a.form.Get("client_assertion"), ecKey().Public(), "ES256")
			if token.Header["kid"] != "k1" || token.Header["typ"] != "JWT" {
				t.Errorf("the header is %v", token.Header)
			}
			ids[claims["jti"]] = true
			want := jwt.MapClaims{"iss": "fetchsvc", "sub": "fetchsvc", "aud": "https://auth.example",
				"iat": float64(a.at.Unix()), "exp": float64(a.at.Add(clientAssertionLife).Unix()), "jti": claims["jti"]}
			if !reflect.DeepEqual(claims, want) {
				t.Errorf("the claims are %v, want %v", claims, want)
			}
		}
		if n := server.count(); n < 3 || len(ids) != n || ids[""] || ids[nil] {
			t.Errorf("jti of %d assertions are %v", n, ids)
		}
	})
}

// TestAssertionGrant: its claims, which policy's further ones cannot replace.
func TestAssertionGrant(t *testing.T) {
	secrets := secretsOf().with("KEY", keyPEM(t, rsaKey()))
	server := &issuing{}
	c := secrets.credential(t, server, policy.OAuth2{Grant: policy.GrantAssertion, Assertion: policy.AssertionGrant{
		Key: policy.SigningKey{Key: "env:KEY", Algorithm: "PS384"}, Issuer: "app", Subject: "user@example.com", Audience: "https://login.example",
		Lifetime: 3 * time.Minute, Claims: map[string]string{"scope": "signature impersonation", "iss": "other", "exp": "0", "jti": "0"},
	}})
	c.want("token-1")
	a := server.requests()[0]
	_, claims := verified(t, a.form.Get("assertion"), rsaKey().Public(), "PS384")
	iat, exp := claims["iat"].(float64), claims["exp"].(float64)
	if claims["iss"] != "app" || claims["sub"] != "user@example.com" || claims["aud"] != "https://login.example" ||
		claims["scope"] != "signature impersonation" || exp-iat != 180 || claims["jti"] == "0" || len(claims) != 7 {
		t.Errorf("the claims are %v", claims)
	}
}

// TestGoogleServiceAccount: as in
// https://developers.google.com/identity/protocols/oauth2/service-account, whatever
// token_uri says.
func TestGoogleServiceAccount(t *testing.T) {
	file := `{"type":"service_account","project_id":"p","private_key_id":"kid-1","private_key":` + quoted(keyPEM(t, rsaKey())) +
		`,"client_email":"bot@p.iam.gserviceaccount.com","client_id":"1","token_uri":"https://attacker.example/token","universe_domain":"googleapis.com"}`
	secrets := secretsOf().with("GOOGLE", file)
	for _, user := range []string{"", "user@example.com"} {
		server := &issuing{}
		c := secrets.credential(t, server, policy.OAuth2{
			Grant: policy.GrantGoogle, Google: policy.GoogleGrant{Key: "env:GOOGLE", Subject: user}, TokenURL: tokenURL(t, "https://oauth2.googleapis.com/token"),
			Scopes: []string{"https://www.googleapis.com/auth/drive", "https://www.googleapis.com/auth/cloud-platform"},
		})
		c.want("token-1")
		a := server.requests()[0]
		if a.URL.String() != "https://oauth2.googleapis.com/token" || len(a.form) != 2 || a.form.Get("grant_type") != grantJWTBearer {
			t.Errorf("asked %s for %v", a.URL, slices.Sorted(maps.Keys(a.form)))
		}
		token, claims := verified(t, a.form.Get("assertion"), rsaKey().Public(), "RS256")
		sub, _ := claims["sub"].(string)
		if token.Header["kid"] != "kid-1" || claims["iss"] != "bot@p.iam.gserviceaccount.com" || claims["aud"] != "https://oauth2.googleapis.com/token" || sub != user ||
			claims["scope"] != "https://www.googleapis.com/auth/drive https://www.googleapis.com/auth/cloud-platform" || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
			t.Errorf("the header is %v, the claims are %v", token.Header, claims)
		}
	}
	for name, text := range map[string]string{
		"no JSON": "canary", "a user's": `{"type":"authorized_user","client_email":"canary","private_key":"canary"}`,
		"no e-mail": `{"type":"service_account","private_key":"canary"}`, "no key": `{"type":"service_account","client_email":"canary"}`,
		"no private key": `{"type":"service_account","client_email":"canary","private_key":"canary"}`,
		"two":            file + file,
	} {
		server := &issuing{}
		c := secrets.with("GOOGLE", text).credential(t, server, policy.OAuth2{Grant: policy.GrantGoogle, Google: policy.GoogleGrant{Key: "env:GOOGLE"}})
		c.fails("key file")
		if server.count() > 0 {
			t.Errorf("%s: a request was sent", name)
		}
	}
}

// TestCallersTokens: calls that are made on the callers' behalf share no tokens, and
// a call without a caller's token is not sent.
func TestCallersTokens(t *testing.T) {
	server := &issuing{answer: func(_ int, a asked) (*http.Response, error) {
		if a.form.Get("subject_token") == "bad-canary" {
			return answered(400, `{"error":"invalid_request"}`), nil
		}
		return answered(200, `{"access_token":"for-`+a.form.Get("subject_token")+`","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":60}`), nil
	}}
	c := oauthCredential(t, server, policy.OAuth2{Grant: policy.GrantExchange, Exchange: policy.ExchangeGrant{SubjectType: "urn:ietf:params:oauth:token-type:jwt"}})
	if !c.Needs().Subject || c.Needs().Body {
		t.Errorf("it needs %+v, want the subject", c.Needs())
	}
	if _, _, err := c.call(t.Context(), ""); !errors.Is(err, fault.CredentialUnavailable) || !strings.Contains(fault.From(err).Message, "caller's own token") {
		t.Errorf("a call without a token: %v", err)
	}
	for range 2 {
		for _, caller := range []string{"anna", "bert"} {
			if _, got, err := c.call(t.Context(), caller); err != nil || got != "Bearer for-"+caller {
				t.Errorf("%s's call has %q, %v", caller, got, err)
			}
		}
	}
	if _, _, err := c.call(t.Context(), "bad-canary"); fault.From(err).Kind != fault.CredentialUnavailable {
		t.Errorf("a token that is not taken: %v", err)
	}
	if _, got, err := c.call(t.Context(), "anna"); err != nil || got != "Bearer for-anna" {
		t.Errorf("after another's failure anna's call has %q, %v", got, err)
	}
	o, _, _ := c.call(t.Context(), "anna")
	if c.Answered(t.Context(), o, &http.Response{StatusCode: 401}); server.count() != 3 {
		t.Errorf("%d token requests, want 3", server.count())
	}
	if _, _, err := c.call(t.Context(), "bert"); err != nil || server.count() != 3 {
		t.Errorf("another's refused token cost bert's: %d requests, %v", server.count(), err)
	}
	c.hidden(c.log.String())
}

// TestCallersTokensAreBounded: the callers that came last are known.
func TestCallersTokensAreBounded(t *testing.T) {
	c := oauthCredential(t, &issuing{}, policy.OAuth2{Grant: policy.GrantExchange, Exchange: policy.ExchangeGrant{SubjectType: "t"}})
	all := c.Signer.(*oauth2).bySubject
	first := all.lifeOf(secretOf(0))
	for i := range maxSubjects + 100 {
		all.lifeOf(secretOf(i))
		if i%1000 == 0 && all.lifeOf(secretOf(0)) != first {
			t.Fatal("one that is in use was forgotten")
		}
	}
	if len(all.known) != maxSubjects || all.order.Len() != maxSubjects {
		t.Errorf("%d and %d subjects are known, want %d", len(all.known), all.order.Len(), maxSubjects)
	}
	if all.lifeOf(secretOf(1)); all.lifeOf(secretOf(0)) != first {
		t.Error("the one that was used last was forgotten before others")
	}
}

func secretOf(i int) secret.Value {
	return secret.NewValue(strings.Repeat("x", i%97) + string(rune('a'+i%26)) + time.Duration(i).String())
}

// TestUnreadableClientSecret: nothing is asked without it, and the caller does not
// learn where it is.
func TestUnreadableClientSecret(t *testing.T) {
	server := &issuing{}
	scheme := plainClient
	scheme.ClientSecret = "env:MISSING_CANARY"
	c := oauthCredential(t, server, scheme)
	if f := c.fails("cannot be read"); strings.Contains(f.Message, "CANARY") || server.count() > 0 {
		t.Errorf("the caller hears %q, %d requests", f.Message, server.count())
	}
	if !strings.Contains(c.log.String(), "MISSING_CANARY") {
		t.Errorf("the log does not say which: %s", c.log.String())
	}
}

// TestReveals: the token is what a request reveals, and where.
func TestReveals(t *testing.T) {
	c := oauthCredential(t, &issuing{}, plainClient)
	o := c.want("token-1")
	if len(o.Revealed) != 1 || o.Revealed[0].Reveal() != "token-1" || !slices.Equal(o.Headers, []string{"Authorization"}) {
		t.Errorf("revealed %d values in %v", len(o.Revealed), o.Headers)
	}
}

// TestKeepsTokensOverPolicies: as long as the credential stays as it is.
func TestKeepsTokensOverPolicies(t *testing.T) {
	server := &issuing{}
	c := oauthCredential(t, server, plainClient)
	c.want("token-1")
	same := *c.cred
	c.keep.Prune([]*policy.Credential{&same})
	if c.Signer = c.keep.Signer(&same); server.count() != 1 {
		t.Error("asked anew")
	}
	c.want("token-1")
	other := same
	other.ID = "partner-2"
	c.Signer = c.keep.Signer(&other)
	c.want("token-2")
}
