package auth

import "strings"

// challenge is one of a WWW-Authenticate header (RFC 9110 section 11.6.1). The
// scheme and the names of its parameters are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// Bounds of what an upstream may ask in one answer.
const (
	maxChallengeLine = 16 << 10
	maxChallenges    = 64
)

// challenges reads the header's lines. A line that breaks the grammar says nothing:
// where a challenge would end in it is anybody's guess.
func challenges(lines []string) (all []challenge) {
	for _, line := range lines {
		if found, ok := challengesOf(line); ok && len(all)+len(found) <= maxChallenges {
			all = append(all, found...)
		}
	}
	return all
}

// challengesOf reads one line. What begins with `name=` goes on with the challenge
// before it; else it begins a new one.
func challengesOf(line string) (all []challenge, ok bool) {
	if len(line) > maxChallengeLine {
		return nil, false
	}
	elements, ok := splitList(line)
	if !ok {
		return nil, false
	}
	for _, element := range elements {
		name, rest := token(element)
		if name == "" {
			return nil, false
		}
		if !assigns(rest) {
			all = append(all, challenge{strings.ToLower(name), map[string]string{}})
			if rest == "" {
				continue
			}
			if rest[0] != ' ' {
				return nil, false
			}
			if rest = strings.TrimLeft(rest, " "); isToken68(rest) {
				continue // as of Negotiate; no scheme of ours has one
			}
			if name, rest = token(rest); name == "" || !assigns(rest) {
				return nil, false
			}
		}
		if len(all) == 0 || !all[len(all)-1].add(name, rest) {
			return nil, false
		}
	}
	return all, true
}

// add takes `="value"` or `=value` as the value of name, which has none so far.
func (c challenge) add(name, assignment string) bool {
	name = strings.ToLower(name)
	value := strings.TrimLeft(strings.TrimLeft(assignment, " \t")[1:], " \t")
	if _, twice := c.params[name]; twice || value == "" {
		return false
	}
	plain, rest := token(value)
	if value[0] == '"' {
		plain, rest = unquote(value)
	}
	if rest != "" {
		return false
	}
	c.params[name] = plain
	return true
}

// splitList parts a list at its commas, but for those in quotes, and leaves out
// elements that are empty (RFC 9110 section 5.6.1).
func splitList(line string) (elements []string, ok bool) {
	add := func(element string) {
		if element = strings.Trim(element, " \t"); element != "" {
			elements = append(elements, element)
		}
	}
	quoted, from := false, 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil, false
		case c == '\\' && quoted:
			i++
			if i == len(line) || line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
				return nil, false
			}
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			add(line[from:i])
			from = i + 1
		}
	}
	add(line[from:])
	return elements, !quoted
}

// token takes a token (RFC 9110 section 5.6.2) off the front of s.
func token(s string) (taken, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// assigns says that s begins with `=`, white space before it allowed.
func assigns(s string) bool { return strings.HasPrefix(strings.TrimLeft(s, " \t"), "=") }

func isToken68(s string) bool {
	bare := strings.TrimRight(s, "=")
	for i := 0; i < len(bare); i++ {
		if c := bare[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._~+/", c) >= 0) {
			return false
		}
	}
	return bare != ""
}

// unquote reads the quoted string that s begins with. Without an end of it, rest is
// all of s.
func unquote(s string) (plain, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			i++
			if i == len(s) {
				return "", s
			}
		}
		b.WriteByte(s[i])
	}
	return "", s
}

// quote makes a quoted string of s, which has no control characters.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
