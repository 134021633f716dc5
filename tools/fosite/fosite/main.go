// Fosite is an authorization server for tests: ory/fosite on loopback, set up by one
// argument in JSON. Beside /token, /introspect and /revoke, /mint?client_id=… gives a
// refresh token to a client, as if a user had consented. Refresh tokens rotate, and
// one that comes again ends the whole line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
)

type config struct {
	Addr string `json:"addr"`
	// Lifetime is that of access tokens, in seconds.
	Lifetime int `json:"lifetime"`
	// Clients prove themselves by Auth, with Secret or JWK.
	Clients []struct {
		ID     string           `json:"id"`
		Secret string           `json:"secret"`
		Auth   string           `json:"auth"`
		JWK    *jose.JSONWebKey `json:"jwk"`
	} `json:"clients"`
	// Issuer signs assertions about Subject by JWK (RFC 7523).
	Issuer  string           `json:"issuer"`
	Subject string           `json:"subject"`
	JWK     *jose.JSONWebKey `json:"jwk"`
}

var scopes = fosite.Arguments{"read", "write", "offline"}

func main() {
	var cfg config
	if err := json.Unmarshal([]byte(os.Args[1]), &cfg); err != nil {
		log.Fatal(err)
	}
	s, err := newServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(cfg.Addr, s.mux()))
}

type server struct {
	provider fosite.OAuth2Provider
	store    *storage.MemoryStore
	strategy oauth2.CoreStrategy
}

func newServer(cfg config) (*server, error) {
	conf := &fosite.Config{
		AccessTokenLifespan: time.Duration(cfg.Lifetime) * time.Second, HashCost: 4, TokenURL: "http://" + cfg.Addr + "/token",
		GlobalSecret: []byte("only for tests, thirty-two bytes"), RefreshTokenScopes: []string{"offline"},
	}
	store := storage.NewMemoryStore()
	for _, c := range cfg.Clients {
		hashed, err := (&fosite.BCrypt{Config: conf}).Hash(context.Background(), []byte(c.Secret))
		if err != nil {
			return nil, err
		}
		client := &fosite.DefaultOpenIDConnectClient{
			DefaultClient: &fosite.DefaultClient{
				ID: c.ID, Secret: hashed, Public: c.Auth == "none", Scopes: scopes, Audience: []string{"https://api.example"},
				GrantTypes: []string{"client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
			},
			TokenEndpointAuthMethod: c.Auth,
		}
		if c.JWK != nil {
			client.JSONWebKeys = &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{*c.JWK}}
			client.TokenEndpointAuthSigningAlgorithm = c.JWK.Algorithm
		}
		store.Clients[c.ID] = client
	}
	if cfg.JWK != nil {
		store.IssuerPublicKeys[cfg.Issuer] = storage.IssuerPublicKeys{Issuer: cfg.Issuer, KeysBySub: map[string]storage.SubjectPublicKeys{
			cfg.Subject: {Subject: cfg.Subject, Keys: map[string]storage.PublicKeyScopes{cfg.JWK.KeyID: {Key: cfg.JWK, Scopes: scopes}}},
		}}
	}
	strategy := compose.NewOAuth2HMACStrategy(conf)
	provider := compose.Compose(conf, store, &compose.CommonStrategy{CoreStrategy: strategy},
		compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2RefreshTokenGrantFactory, compose.RFC7523AssertionGrantFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory)
	return &server{provider, store, strategy}, nil
}

func (s *server) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		res, err := s.provider.NewIntrospectionRequest(r.Context(), r, &fosite.DefaultSession{})
		if err != nil {
			s.provider.WriteIntrospectionError(r.Context(), w, err)
			return
		}
		s.provider.WriteIntrospectionResponse(r.Context(), w, res)
	})
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		s.provider.WriteRevocationResponse(r.Context(), w, s.provider.NewRevocationRequest(r.Context(), r))
	})
	mux.HandleFunc("GET /mint", s.mint)
	return mux
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	req, err := s.provider.NewAccessRequest(ctx, r, &fosite.DefaultSession{})
	if err != nil {
		s.provider.WriteAccessError(ctx, w, req, err)
		return
	}
	for _, scope := range req.GetRequestedScopes() {
		req.GrantScope(scope)
	}
	for _, audience := range req.GetRequestedAudience() {
		req.GrantAudience(audience)
	}
	res, err := s.provider.NewAccessResponse(ctx, req)
	if err != nil {
		s.provider.WriteAccessError(ctx, w, req, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, req, res)
}

// mint gives out a refresh token.
func (s *server) mint(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	client, err := s.store.GetClient(ctx, r.URL.Query().Get("client_id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	req := fosite.NewAccessRequest(&fosite.DefaultSession{Subject: "user"})
	req.Client, req.GrantedScope = client, fosite.Arguments{"offline", "read"}
	req.SetRequestedScopes(req.GrantedScope)
	token, signature, err := s.strategy.GenerateRefreshToken(ctx, req)
	if err == nil {
		err = s.store.CreateRefreshTokenSession(ctx, signature, "", req)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, token)
}
