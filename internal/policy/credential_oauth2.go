package policy

import (
	"time"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Grants of OAuth 2.0.
const (
	GrantClientCredentials = "client_credentials"
	GrantRefresh           = "refresh"
	GrantAssertion         = "jwt_bearer"
	GrantExchange          = "token_exchange"
	GrantGoogle            = "google_service_account"
)

// Ways for an OAuth 2.0 client to prove itself.
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"
	PrivateKeyJWT     = "private_key_jwt"
	TLSClientAuth     = "tls_client_auth"
	ClientAuthNone    = "none"
)

// OAuth2 is `Authorization: Bearer` with a token that a server issues.
type OAuth2 struct {
	TokenURL target.URL
	// Grant is one of the Grant constants, with its settings in the member of that
	// name.
	Grant     string
	Refresh   RefreshGrant
	Assertion AssertionGrant
	Exchange  ExchangeGrant
	Google    GoogleGrant

	ClientID     string
	ClientSecret SecretRef // empty: none
	// ClientAuth is one of the constants above, never empty. The certificate of
	// TLSClientAuth is the system upstream's.
	ClientAuth      string
	ClientKey       SigningKey // of PrivateKeyJWT
	ClientAssertion string     // aud of the client's assertion

	Scopes, Audience, Resource []string
	// Params are further parameters.
	Params map[string]string
	// Lifetime is that of a token that does not say.
	Lifetime time.Duration
}

// RefreshGrant asks by a refresh token. StateFile is absolute; empty: none.
type RefreshGrant struct {
	Token     SecretRef
	StateFile string
}

// AssertionGrant asks by an assertion; nothing of it is empty but Claims.
type AssertionGrant struct {
	Key                       SigningKey
	Issuer, Subject, Audience string
	Lifetime                  time.Duration
	Claims                    map[string]string
}

// SigningKey signs assertions. Algorithm is empty for the key's own default.
type SigningKey struct {
	Key              SecretRef // PEM
	Algorithm, KeyID string
}

// ExchangeGrant exchanges Subject; empty: the caller's own token. Types are never
// empty where there is a token.
type ExchangeGrant struct {
	Subject, Actor         SecretRef
	SubjectType, ActorType string
	RequestedType          string // empty: the server's choice
}

// GoogleGrant is the key file of a service account; Subject is empty for the
// account itself.
type GoogleGrant struct {
	Key     SecretRef
	Subject string
}
