package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

const (
	// clientAssertionType is RFC 7523 section 2.2.
	clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// clientAssertionLife is how long a client's assertion is good, which is sent at
	// once.
	clientAssertionLife = 2 * time.Minute
)

// proveClient adds to a token request what says which client asks.
func (s *tokenServer) proveClient(ctx context.Context, form url.Values, header http.Header) error {
	id := s.scheme.ClientID
	if id != "" && s.scheme.ClientAuth != policy.ClientSecretBasic {
		form.Set("client_id", id)
	}
	switch s.scheme.ClientAuth {
	case policy.ClientSecretBasic:
		password, err := s.get(ctx, s.scheme.ClientSecret)
		if err != nil {
			return err
		}
		// Both are coded as in a form before they are joined (RFC 6749 section 2.3.1).
		pair := url.QueryEscape(id) + ":" + url.QueryEscape(password.Reveal())
		header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))}
	case policy.ClientSecretPost:
		password, err := s.get(ctx, s.scheme.ClientSecret)
		if err != nil {
			return err
		}
		form.Set("client_secret", password.Reveal())
	case policy.PrivateKeyJWT:
		assertion, err := s.assertion(ctx, s.scheme.ClientKey, clientAssertionLife, map[string]any{
			"iss": id, "sub": id, "aud": s.scheme.ClientAssertion,
		})
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", clientAssertionType)
		form.Set("client_assertion", assertion)
	}
	return nil // the certificate of tls_client_auth is in the handshake
}
