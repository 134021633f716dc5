package auth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// unsignedHeaders are those that proxies and our own transport may add, change or
// take out. The names are in lower case.
var unsignedHeaders = []string{
	"accept-encoding", "authorization", "baggage", "cdn-loop", "connection", "cookie", "expect", "forwarded", "host",
	"keep-alive", "max-forwards", "te", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade",
	"user-agent", "via", "x-amzn-trace-id",
}

func signsHeader(name string) bool {
	return !slices.Contains(unsignedHeaders, name) && !strings.HasPrefix(name, "proxy-") && !strings.HasPrefix(name, "x-forwarded-")
}

// canonical gives the canonical request, and the names of the headers in it.
func (s *awsSigning) canonical(r *http.Request) (request, names string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	lines := []string{"host:" + host}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); len(values) > 0 && signsHeader(lower) {
			lines = append(lines, lower+":"+canonicalValue(values))
		}
	}
	slices.SortFunc(lines, func(a, b string) int {
		left, _, _ := strings.Cut(a, ":")
		right, _, _ := strings.Cut(b, ":")
		return strings.Compare(left, right)
	})
	signed := make([]string, len(lines))
	for i, line := range lines {
		signed[i], _, _ = strings.Cut(line, ":")
	}
	names = strings.Join(signed, ";")
	path, query, _ := strings.Cut(r.URL.RequestURI(), "?")
	return strings.Join([]string{
		r.Method, s.canonicalPath(path), canonicalQuery(query), strings.Join(lines, "\n"), "", names, s.digest,
	}, "\n"), names
}

// canonicalValue joins a header's values, with one space for any run of them.
func canonicalValue(values []string) string {
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(v, isSpace), " ")
	}
	return strings.Join(trimmed, ",")
}

func isSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

// canonicalPath codes the path as it is sent, but for S3, which reads it first.
func (s *awsSigning) canonicalPath(path string) string {
	if s.form.rawPath {
		if plain, err := url.PathUnescape(path); err == nil {
			path = plain
		}
		return awsEscape(path, "/")
	}
	return awsEscape(normalPath(path), "/")
}

// normalPath takes out dots and empty segments (RFC 3986 section 6.2.2.3).
func normalPath(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, segment)
		}
	}
	normal := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && (strings.HasSuffix(path, "/") || strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..")) {
		normal += "/"
	}
	return normal
}

// canonicalQuery sorts the parameters. What is sent stays as it is.
func canonicalQuery(query string) string {
	type param struct{ name, value string }
	var all []param
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" {
			all = append(all, param{recode(name), recode(value)})
		}
	}
	slices.SortFunc(all, func(a, b param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	pairs := make([]string, len(all))
	for i, p := range all {
		pairs[i] = p.name + "=" + p.value
	}
	return strings.Join(pairs, "&")
}

// recode writes a part of a query as AWS does.
func recode(part string) string {
	if plain, err := url.QueryUnescape(part); err == nil {
		part = plain
	}
	return awsEscape(part, "")
}

// awsEscape codes every byte but those that RFC 3986 calls unreserved and those of
// also.
func awsEscape(s, also string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(also, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upper[c>>4])
		b.WriteByte(upper[c&15])
	}
	return b.String()
}
