package policy

import (
	"time"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Credential is how to prove who we are to an upstream.
type Credential struct {
	// Name is policy's.
	Name string
	// ID changes when anything of the credential changes: what is kept for it, such
	// as a token, belongs to an ID.
	ID string
	// Scheme is what is sent.
	Scheme Scheme
	// Upstream is the system upstream that it gets tokens or keys from; empty: it
	// needs none.
	Upstream string

	bind    []endpoint
	methods methodSet
	paths   []glob
	headers []string
}

// Scheme is one of the types below that have the method.
type Scheme interface{ scheme() string }

// Kind is the scheme's name, as the file has it.
func (cred *Credential) Kind() string { return cred.Scheme.scheme() }

// Bearer is `Authorization: Bearer`.
type Bearer struct{ Token SecretRef }

// Basic is `Authorization: Basic`. SecretUsername, if any, stands in place of
// Username; an empty Password is none.
type Basic struct {
	Username                 string
	SecretUsername, Password SecretRef
}

// APIKey is a key in Header, Query or Cookie, of which one is set. Header is
// canonical.
type APIKey struct {
	Header, Query, Cookie string
	Prefix                string
	Key                   SecretRef
}

// Headers are made from templates.
type Headers struct {
	// Set are the headers, in the order of their canonical names.
	Set []HeaderTemplate
	// Secrets are what stands for the templates' names.
	Secrets map[string]SecretRef
}

// HeaderTemplate is a header and how its value is made.
type HeaderTemplate struct {
	Name  string // canonical
	Value Template
}

// Template is text with names in it.
type Template []TemplatePart

// TemplatePart is text, or the name of what stands in its place.
type TemplatePart struct{ Text, Name string }

// Digest is RFC 7616.
type Digest struct {
	Username string
	Password SecretRef
	MD5      bool // is taken, where nothing better is offered
}

// ClientCert is a client certificate, which the connections of the upstream
// present (Connection.TLS): requests carry nothing.
type ClientCert struct {
	file string
	key  SecretRef
}

// AWS is Signature Version 4.
type AWS struct {
	Region, Service      string
	AccessKeyID, Secret  SecretRef
	SessionToken         SecretRef // empty: none
	SessionTokenOptional bool      // none where its variable is not set
	Role                 *AssumeRole
	UnsignedPayload      bool
}

// AssumeRole are the role that signs in place of the keys, and where it is had.
type AssumeRole struct {
	ARN, SessionName, ExternalID string
	Duration                     time.Duration
	STS                          target.URL
}

// HMAC signs a text by a shared key.
type HMAC struct {
	Key         SecretRef
	KeyEncoding string // text, hex, base64
	Hash        string // sha256, sha512, sha1
	Text        Template
	Headers     []HeaderTemplate
	Encoding    string // hex, base64
	Timestamp   string // unix, unix_ms, rfc3339, http
	KeyID       string
}

// Pool is several credentials.
type Pool struct {
	Members []*Credential
	Rest    time.Duration
}

func (*Bearer) scheme() string     { return "bearer" }
func (*Basic) scheme() string      { return "basic" }
func (*APIKey) scheme() string     { return "api_key" }
func (*Headers) scheme() string    { return "headers" }
func (*Digest) scheme() string     { return "digest" }
func (*OAuth2) scheme() string     { return "oauth2" }
func (*AWS) scheme() string        { return "aws" }
func (*HMAC) scheme() string       { return "hmac" }
func (*ClientCert) scheme() string { return "client_certificate" }
func (*Pool) scheme() string       { return "pool" }

// CallerCredentials says what becomes of a caller's own proofs where a credential
// is to go.
type CallerCredentials uint8

// What becomes of them.
const (
	OverwriteCredentials CallerCredentials = iota // left out
	DenyCredentials                               // the call is refused
	KeepCredentials                               // they go, and the credential does not
)

// Scrub says what becomes of an answer that has in it what a credential put into
// its request.
type Scrub uint8

// What becomes of it.
const (
	ScrubReplace Scrub = iota // by as many `*`
	ScrubRefuse               // the call fails
	ScrubOff                  // nothing is looked for
)

// Headers are the canonical names of those that the credential sets, beside the
// ones that everybody knows.
func (cred *Credential) Headers() []string { return cred.headers }

// Credentials are those that calls may carry, members of pools included.
func (s *Snapshot) Credentials() []*Credential {
	seen := map[*Credential]bool{}
	var all []*Credential
	var add func(*Credential)
	add = func(cred *Credential) {
		if cred == nil || seen[cred] {
			return
		}
		seen[cred] = true
		all = append(all, cred)
		if pool, ok := cred.Scheme.(*Pool); ok {
			for _, member := range pool.Members {
				add(member)
			}
		}
	}
	for _, up := range s.Upstreams {
		for _, r := range append([]*Route{up.Base}, up.Routes...) {
			add(r.Credential)
			for _, cred := range r.Choices {
				add(cred)
			}
		}
	}
	return all
}
