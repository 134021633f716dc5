package auth

import (
	"context"
	"net/url"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// apiKey is a key in a header, a query parameter or a cookie.
type apiKey struct {
	source
	settled
	scheme *policy.APIKey
}

func (a *apiKey) Sign(ctx context.Context, o *Outgoing) error {
	key, err := a.get(ctx, a.scheme.Key)
	if err != nil {
		return err
	}
	switch {
	case a.scheme.Header != "":
		err = a.put(o, a.scheme.Header, a.scheme.Prefix+key.Reveal())
	case a.scheme.Query != "":
		u := *o.Request.URL
		u.RawQuery = withParam(u.RawQuery, a.scheme.Query, key.Reveal())
		o.Request.URL = &u
		if sent := escapeParam(key.Reveal()); sent != key.Reveal() {
			o.reveal(secret.NewValue(sent)) // what quotes the URL may escape it once more
		}
	default:
		err = a.cookie(o, key.Reveal())
	}
	if err != nil {
		return err
	}
	o.reveal(key)
	return nil
}

// withParam puts a parameter at the end of a query, in place of any of its name.
// The rest stays as the caller wrote it.
func withParam(query, name, value string) string {
	var kept []string
	if query != "" {
		for pair := range strings.SplitSeq(query, "&") {
			if !namesParam(pair, name) {
				kept = append(kept, pair)
			}
		}
	}
	return strings.Join(append(kept, escapeParam(name)+"="+escapeParam(value)), "&")
}

func namesParam(pair, name string) bool {
	given, _, _ := strings.Cut(pair, "=")
	if given == name {
		return true
	}
	plain, err := url.QueryUnescape(given)
	return err == nil && plain == name
}

// escapeParam writes a space as %20, which every server reads as one.
func escapeParam(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// cookie puts the key behind the caller's cookies, in place of any of its name.
func (a *apiKey) cookie(o *Outgoing, key string) error {
	if !cookieValue(key) {
		return a.cannot("its key has a character that a cookie cannot have (RFC 6265 section 4.1.1)")
	}
	return a.put(o, "Cookie", withCookie(o.Request.Header["Cookie"], a.scheme.Cookie, key))
}

// withCookie gives one line of all: RFC 6265 section 5.4 has no more in a request.
func withCookie(lines []string, name, value string) string {
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			given, _, _ := strings.Cut(pair, "=")
			if pair != "" && strings.TrimRight(given, " \t") != name {
				kept = append(kept, pair)
			}
		}
	}
	return strings.Join(append(kept, name+"="+value), "; ")
}

func cookieValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\' {
			return false
		}
	}
	return true
}
