package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// secrets keeps what may be a secret out of errors. The file only names secrets,
// but somebody may paste one: the value of a key such as `token` that is no
// reference, and a URL's user name and password, are shown as `…`.
type secrets struct {
	nodes  map[*yaml.Node]bool
	vaults []string // whose secrets may be named
	words  []string
	masks  map[int][]span // by line, once measured
}

// note finds the secrets beneath root. The longer comes first, since one may be
// part of another.
func (s *secrets) note(root *yaml.Node) {
	s.vaults = vaultsOf(root)
	s.find(root)
	slices.SortFunc(s.words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	s.words = slices.Compact(s.words)
}

func (s *secrets) find(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && hasUserinfo(n.Value) {
		s.hide(n)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			s.member(n.Content[i-1].Value, c)
			continue
		}
		s.find(c)
	}
}

// member finds the secrets in the value of key.
func (s *secrets) member(key string, n *yaml.Node) {
	switch {
	case key == "set" || key == "headers":
		s.hideTexts(n)
	case isSecretKey(key):
		s.hideBeneath(n)
	default:
		s.find(n)
	}
}

// hideBeneath hides all values at n and beneath it but references, and those whose
// keys are known to hold no secret.
func (s *secrets) hideBeneath(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && !isNull(n) && n.Tag != "!!bool" && !s.isReference(n.Value) && !isWait(n.Value) || n.Kind == yaml.AliasNode {
		s.hide(n)
	}
	for i, c := range n.Content {
		if n.Kind != yaml.MappingNode {
			s.hideBeneath(c)
			continue
		}
		key := n.Content[i-i%2].Value
		switch {
		case i%2 == 0 && !isKeyLike(key) && !isShown(key):
			s.hideBeneath(c)
		case i%2 == 0:
		case key == "set" || key == "headers", isShown(key) && fits(key, c.Value):
			s.member(key, c)
		default:
			s.hideBeneath(c)
		}
	}
}

// hideTexts hides the values of headers, but for templates: those name what is
// secret.
func (s *secrets) hideTexts(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		s.hideBeneath(n)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case isNull(value) && !isKeyLike(key.Value):
			s.hideBeneath(key)
		case key.Value == "set", key.Value == "secrets":
			s.member(key.Value, value)
		case value.Kind == yaml.ScalarNode && strings.Contains(value.Value, "${"):
			s.find(value)
		default:
			s.hideBeneath(value)
		}
	}
}

func (s *secrets) hide(n *yaml.Node) {
	if s.nodes == nil {
		s.nodes = map[*yaml.Node]bool{}
	}
	s.nodes[n] = true
	s.words = append(s.words, n.Value, strings.TrimSuffix(shortened(n.Value), "…"))
	if i := strings.LastIndexByte(n.Value, '@'); i > 0 {
		user := n.Value[:i]
		if _, behind, ok := strings.Cut(user, "://"); ok {
			user = behind
		}
		_, password, _ := strings.Cut(user, ":")
		s.words = append(s.words, user, password)
	}
}

// hasUserinfo says that text looks like a URL or an address with a password.
func hasUserinfo(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && strings.Contains(text[:at], ":")
}

// isSecretKey says that a secret may be the value of key, well spelled or not.
func isSecretKey(key string) bool {
	plain := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
	if plain == "secretusername" {
		return true
	}
	for _, about := range []string{"url", "uri", "file", "name", "header", "type", "method"} {
		if strings.HasSuffix(plain, about) {
			return false
		}
	}
	switch plain {
	case "key", "pass", "pwd", "auth", // what people call it, and what holds one
		"basic", "headers", "set", "digest", "oauth2", "aws", "hmac", "clientcertificate", "clientkey",
		"googleserviceaccount", "approle", "kubernetes":
		return true
	}
	for _, part := range []string{"secret", "passw", "passphrase", "token", "bearer", "apikey", "privatekey", "accesskey", "authorization"} {
		if strings.Contains(plain, part) {
			return true
		}
	}
	return didYouMean(plain, []string{"secret", "password", "token", "apikey"}) != ""
}

// isShown says that key, beside or within a secret, holds none.
func isShown(key string) bool {
	switch key {
	case "actor_token_type", "address", "algorithm", "assume_role", "audience", "ca_file", "cert_file", "claims", "client_assertion_audience",
		"client_auth", "client_id", "cookie", "duration", "encoding", "external_id", "hash", "header", "issuer", "keep", "key_encoding",
		"key_id", "lifetime", "members", "mount", "name", "namespace", "params", "prefix", "query", "region", "requested_token_type", "resource",
		"rest", "role", "role_arn", "scopes", "service", "session_name", "state_file", "sts_url", "subject", "subject_token_type", "text",
		"timestamp", "token_file", "token_url", "unsafe_allow_addresses", "unsafe_md5", "unsafe_plain_http", "unsigned_payload", "vaults":
		return true
	}
	return false
}

// fits is false for text that may be the secret itself, where key is about the
// place that it goes to.
func fits(key, text string) bool {
	switch key {
	case "header", "query", "cookie":
		return isWord(text)
	case "prefix":
		return len(text) <= 16 && strings.ContainsAny(text, " =:") && strings.Trim(text, letters+" =:") == ""
	}
	return true
}

// isWait says that text is a duration.
func isWait(text string) bool {
	_, reason := readDuration(text)
	return reason == ""
}

// vaultsOf are the names of the file's vaults.
func vaultsOf(root *yaml.Node) (names []string) {
	for _, vault := range at(at(root, "secrets"), "vaults").Content {
		names = append(names, at(vault, "name").Value)
	}
	return names
}

// at is the value of key; empty: n has none.
func at(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return &yaml.Node{}
}

// isReference says that text names a secret, in a vault too.
func (s *secrets) isReference(text string) bool {
	vault, name, _ := strings.Cut(text, ":")
	return isReference(text) || slices.Contains(s.vaults, vault) && checkVaultName(vault, name) == nil
}

// isReference says that text names a secret as the file should.
func isReference(text string) bool {
	if strings.HasPrefix(text, "file:") {
		return true
	}
	name, ok := strings.CutPrefix(text, "env:")
	return ok && strings.Trim(name, wordLetters) == ""
}

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	letters      = lowerLetters + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	wordLetters  = letters + "0123456789_"
)

// isWord says that text may stand in a path as it is.
func isWord(text string) bool {
	return text != "" && len(text) <= maxGuess && strings.Trim(text, wordLetters+"-") == ""
}

// isKeyLike says that text is a key rather than something pasted.
func isKeyLike(text string) bool {
	return text != "" && len(text) <= 24 && strings.Trim(text, lowerLetters+"_") == ""
}

// scrub takes the secrets out of a reason that quotes one.
func (s *secrets) scrub(text string) string {
	const least = 4 // bytes; less is no secret, and would tear words apart
	for _, w := range s.words {
		if len(w) < least {
			continue
		}
		text = strings.ReplaceAll(text, w, "…")
		if q := strconv.Quote(w); q[1:len(q)-1] != w {
			text = strings.ReplaceAll(text, q[1:len(q)-1], "…")
		}
	}
	return text
}
