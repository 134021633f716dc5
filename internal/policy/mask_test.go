package policy

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// TestPastedSecretsStayHidden writes a secret wherever somebody might, in files
// that are at fault on that line, and asks for it in the error.
func TestPastedSecretsStayHidden(t *testing.T) {
	bearer := "credentials:\n  - name: a\n    bind: [https://a.example]\n    bearer: "
	cred := "credentials:\n  - name: a\n    bind: [https://a.example]\n    "
	proxy := "defaults:\n  proxy:\n    url: http://proxy.example:1\n"
	for name, text := range map[string]string{
		"value":                   bearer + "{token: WORD}\n",
		"number":                  bearer + "{token: 12345678}\n",
		"under secret":            bearer + "{token: {secret: WORD}}\n",
		"quoted":                  bearer + "{token: {secret: \"WORD\"}}\n",
		"escaped":                 bearer + "{token: {secret: \"\\tWORD\"}}\n",
		"quoted over lines":       bearer + "{token: {secret: \"a\n      WORD\"}, x: y}\n",
		"block":                   bearer + "\n      token:\n        secret: |\n          WORD\n        x: y\n",
		"as a reference of env":   bearer + "{token: {secret: 'env:WORD'}, x: y}\n",
		"with a comment":          bearer + "{token: {secret: WORD}, x: y}\n",
		"under a misspelled key":  bearer + "{token: {sceret: WORD}}\n",
		"as a key":                bearer + "{token: {WORD}}\n",
		"in a list":               bearer + "{token: [WORD]}\n",
		"as the scheme":           bearer + "WORD\n",
		"twice":                   bearer + "{token: {secret: env:A, secret: WORD}}\n",
		"with a tag":              bearer + "{token: {secret: !WORD x}}\n",
		"with an anchor":          bearer + "{token: {secret: &WORD x}}\n",
		"as an alias":             bearer + "{token: {secret: *WORD}}\n",
		"unknown scheme":          bearer + "{api_key: WORD}\n",
		"in a header's place":     cred + "api_key: {header: 'X-Api-Key: WORD', key: {secret: env:A}}\n",
		"in a parameter's place":  cred + "api_key: {query: 'key=WORD', key: {secret: env:A}}\n",
		"in a prefix":             cred + "api_key: {prefix: 'Bearer WORD', key: {secret: env:A}}\n",
		"in a template":           cred + "headers: {set: {X-Auth-Token: WORD}}\n",
		"in a template, beside":   cred + "headers: {set: {Authorization: Bearer WORD}, x: y}\n",
		"as a template":           cred + "headers: {set: WORD}\n",
		"as a template's header":  cred + "headers: {set: {WORD}}\n",
		"in a signed header":      cred + "hmac: {key: {secret: env:A}, text: x, headers: {X-Key: WORD}}\n",
		"in a template's secrets": cred + "headers: {set: {X-A: '${a}'}, secrets: [WORD]}\n",
		"in a template's secret":  cred + "headers: {set: {X-A: '${a}'}, secrets: [{name: a, secret: WORD}]}\n",
		"behind a user name":      cred + "basic: {username: 'joe:WORD'}\n",
		"as basic":                cred + "basic: 'joe:WORD'\n",
		"as oauth2":               cred + "oauth2: WORD\n",
		"as a refresh token":      cred + "oauth2: {refresh: WORD}\n",
		"under oauth2":            cred + "oauth2: {client_sceret: WORD}\n",
		"as a parameter":          cred + "oauth2: {params: {client_secret: WORD}}\n",
		"as a signing key":        cred + "oauth2: {client_key: WORD}\n",
		"as a certificate":        cred + "client_certificate: |\n      -----BEGIN PRIVATE KEY-----\n      WORD\n",
		"as a vault's token":      "secrets: {vaults: [{name: v, address: 'https://v.example', token: WORD, x: y}]}\n",
		"as an unknown vault's":   cred + "bearer: {token: {secret: 'joe:WORD#x'}}\n",
		"unknown group":           "login: {user: a, password: WORD}\n",
		"password":                proxy + "    password: WORD\n",
		"in a URL":                "defaults:\n  proxy: {url: 'http://joe:WORD@proxy.example:3128', x: y}\n",
		"in a URL, no scheme":     "defaults:\n  proxy: {url: 'joe:WORD@proxy.example:3128', x: y}\n",
		"in a host":               "upstreams:\n  - {name: a, hosts: ['https://joe:WORD@a.example'], x: y}\n",
		"in a second document":    "batch: {}\n--- {token: WORD}\n",
		"torn, on its line":       bearer + "{token: {secret: WORD}\n",
		"torn, open quote":        bearer + "\n      token:\n        secret: \"WORD\n",
		"torn, block":             bearer + "\n      token:\n        secret: |\n          begin\n         WORD\n",
		"torn, in a URL":          "defaults:\n  proxy:\n    url: http://joe:WORD@proxy.example: 3128\n",
		"torn, URL on a new line": "defaults:\n  proxy:\n    url:\n      http://joe:WORD@proxy.example: 3128\n",
		"torn, at sign":           proxy + "    password: @WORD\n",
		"torn, not UTF-8":         proxy + "    password: WORD\xff\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, word := range []string{"hunter2-S3cr3t", strings.Repeat("hunter2-S3cr3t", 20)} {
				_, err := Parse("p.yaml", []byte(strings.ReplaceAll(text, "WORD", word)), Options{})
				if err == nil {
					t.Fatal("Parse accepts it")
				}
				for _, part := range []string{"hunter2", "S3cr3t", "12345678"} {
					if strings.Contains(err.Error(), part) {
						t.Errorf("the error has it:\n%v", err)
					}
				}
			}
		})
	}
}

// holdsSecret says that a secret may stand in place of fd's value, or in it.
func holdsSecret(fd protoreflect.FieldDescriptor) bool {
	switch fd.FullName().Parent().Name() + "." + fd.Name() {
	case "NamedSecret.secret", "HeaderTemplate.set", "Hmac.headers", "HeaderTemplate.secrets", "Policy.secrets":
		return true
	case "OAuth2.refresh", "Credential.pool": // which are durations elsewhere, and names
		return false
	}
	if fd.Message() != nil {
		switch fd.Message().Name() {
		case "Secret", "SigningKey", "ClientCertificate":
			return true
		}
	}
	return fd.FullName().Parent() == secretName || fd.ContainingOneof() != nil && !fd.ContainingOneof().IsSynthetic()
}

// TestShownKeys: beneath a key that is taken for a secret's, what holds none is
// shown, and what does is not.
func TestShownKeys(t *testing.T) {
	for _, root := range []proto.Message{new(policyv1.Credential), new(policyv1.Secrets)} {
		seen := map[protoreflect.FullName]bool{}
		var walk func(md protoreflect.MessageDescriptor)
		walk = func(md protoreflect.MessageDescriptor) {
			if seen[md.FullName()] {
				return
			}
			seen[md.FullName()] = true
			for i := range md.Fields().Len() {
				fd := md.Fields().Get(i)
				hidden := holdsSecret(fd) || slices.Contains([]string{"username", "role_id", "refresh"}, fd.TextName())
				if got := isShown(fd.TextName()); md != root.ProtoReflect().Descriptor() && got == hidden {
					t.Errorf("isShown(%q) = %v, as in %s", fd.TextName(), got, fd.FullName())
				}
				if isMessage(fd) {
					walk(fd.Message())
				}
			}
		}
		walk(root.ProtoReflect().Descriptor())
	}
}

// TestSecretKeys: of the schema's keys those of secrets are taken for such, and
// no other, or errors would hide what they are about.
func TestSecretKeys(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(md protoreflect.MessageDescriptor)
	walk = func(md protoreflect.MessageDescriptor) {
		if seen[md.FullName()] {
			return
		}
		seen[md.FullName()] = true
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			secret := holdsSecret(fd)
			if got := isSecretKey(fd.TextName()); got != secret {
				t.Errorf("isSecretKey(%q) = %v, want %v", fd.TextName(), got, secret)
			}
			if isMessage(fd) {
				walk(fd.Message())
			}
		}
	}
	walk(new(policyv1.Policy).ProtoReflect().Descriptor())
}
