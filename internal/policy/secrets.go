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
	nodes map[*yaml.Node]bool
	words []string
	masks map[int][]span // by line, once measured
}

// note finds the secrets beneath root. The longer comes first, since one may be
// part of another.
func (s *secrets) note(root *yaml.Node) {
	s.find(root)
	slices.SortFunc(s.words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	s.words = slices.Compact(s.words)
}

func (s *secrets) find(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && hasUserinfo(n.Value) {
		s.hide(n)
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && isSecretKey(n.Content[i-1].Value) {
			s.hideBeneath(c)
			continue
		}
		s.find(c)
	}
}

// hideBeneath hides all values at n and beneath it but references.
func (s *secrets) hideBeneath(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && !isNull(n) && n.Tag != "!!bool" && !isReference(n.Value) || n.Kind == yaml.AliasNode {
		s.hide(n)
	}
	for i, c := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 || !isKeyLike(c.Value) {
			s.hideBeneath(c)
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
	for _, about := range []string{"url", "uri", "file", "name", "header", "type", "method"} {
		if strings.HasSuffix(plain, about) {
			return false
		}
	}
	switch plain {
	case "key", "pass", "pwd", "auth", "basic":
		return true
	}
	for _, part := range []string{"secret", "passw", "passphrase", "token", "bearer", "apikey", "privatekey", "accesskey", "authorization"} {
		if strings.Contains(plain, part) {
			return true
		}
	}
	return didYouMean(plain, []string{"secret", "password", "token", "apikey"}) != ""
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
	wordLetters  = lowerLetters + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
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
