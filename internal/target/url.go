package target

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// URL is an absolute http or https URL that could be sent.
type URL struct {
	// Scheme is `http` or `https`.
	Scheme string
	// Host is canonical.
	Host Host
	// Port is never 0.
	Port uint16
	// Path is the escaped path as given, `/` if it was empty; what no request
	// line may hold (spaces, non-ASCII bytes) is percent-encoded.
	Path string
	// Query is the raw query as given, without `?`, encoded likewise.
	Query string
	// HasQuery tells `/?` from `/`.
	HasQuery bool
	// Fragment is what stood behind `#`; it is never sent.
	Fragment string

	hostPort string // what HostPort gives, made once
}

// ErrUserinfo is why a URL with a user name or password is refused.
var ErrUserinfo = errors.New("a user name or password in a URL ends up in logs: " +
	"leave it out and let policy apply a credential, or send an Authorization header")

// Parse reads an absolute URL. Errors are sentences for the caller and quote
// no more than the part at fault, never userinfo.
func Parse(raw string) (URL, error) {
	if raw == "" {
		return URL{}, errors.New("required: an absolute URL such as https://api.example.com/v1/things")
	}
	if i := strings.IndexFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }); i >= 0 {
		return URL{}, fmt.Errorf("has a space or control character at byte %d: percent-encode it (a space is %%20)", i)
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/?#") {
		return URL{}, errors.New("has no scheme: begin it with https:// or http://")
	}
	scheme = strings.ToLower(scheme)
	if scheme != "https" && scheme != "http" {
		return URL{}, fmt.Errorf("scheme %q is not served: use https or http", clip(scheme))
	}
	authority, tail := splitAuthority(rest)
	u, err := parseAuthority(scheme, authority)
	if err != nil {
		return URL{}, err
	}
	return u.withTail(tail)
}

// splitAuthority ends the authority at the first `/`, `?` or `#`. A backslash
// is refused later as no character of a host: browsers read it as `/`, others
// do not, and the difference is an old way around guards.
func splitAuthority(rest string) (authority, tail string) {
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[:i], rest[i:]
	}
	return rest, ""
}

func parseAuthority(scheme, authority string) (URL, error) {
	if strings.Contains(authority, "@") {
		return URL{}, ErrUserinfo
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
		if port != "" && !allDigits(port) {
			return URL{}, errors.New("the port is not a number (what stands there is not shown: it may be a password)")
		}
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return URL{}, errors.New("an IPv6 address in a URL stands in brackets: http://[::1]/")
	}
	decoded, err := url.PathUnescape(host)
	if err != nil {
		return URL{}, errors.New("the host has a bad percent-escape")
	}
	h, err := ParseHost(decoded)
	if err != nil {
		return URL{}, err
	}
	p, err := parsePort(scheme, port)
	if err != nil {
		return URL{}, err
	}
	u := URL{Scheme: scheme, Host: h, Port: p}
	u.hostPort = u.makeHostPort(authority)
	return u, nil
}

func parsePort(scheme, port string) (uint16, error) {
	if port == "" {
		return DefaultPort(scheme), nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %s is out of range: 1 to 65535", clip(port))
	}
	return uint16(n), nil
}

// DefaultPort is 443 for https and 80 for http.
func DefaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// withTail reads path, query and fragment.
func (u URL) withTail(tail string) (URL, error) {
	tail, u.Fragment, _ = strings.Cut(tail, "#")
	path, query, hasQuery := strings.Cut(tail, "?")
	if path == "" {
		path = "/"
	}
	for _, part := range []struct{ name, s string }{{"path", path}, {"query", query}} {
		if i := badEscape(part.s); i >= 0 {
			return URL{}, fmt.Errorf("the %s has a bad percent-escape at %q: write a literal %% as %%25",
				part.name, clip(part.s[i:min(i+3, len(part.s))]))
		}
	}
	u.Path, u.Query, u.HasQuery = escape(path), escape(query), hasQuery
	if strings.HasPrefix(u.Path, "//") {
		u.Path = strictPath.Replace(u.Path)
	}
	return u, nil
}

// strictPath escapes what RFC 3986 has no place for in a path and most clients
// send all the same. Only a path that begins with `//` needs it: see HTTP.
var strictPath = strings.NewReplacer(`\`, "%5C", "^", "%5E", "`", "%60", "{", "%7B", "|", "%7C", "}", "%7D")

// badEscape gives the place of a `%` that two hexadecimal digits do not follow.
func badEscape(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return i
		}
	}
	return -1
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// escape percent-encodes what RFC 3986 allows nowhere in a path or query and
// what would break a request line, and touches nothing else: the wire gets the
// caller's spelling.
func escape(s string) string {
	const upper = "0123456789ABCDEF"
	n := 0
	for i := 0; i < len(s); i++ {
		if mustEscape(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := 0; i < len(s); i++ {
		if c := s[i]; mustEscape(c) {
			b = append(b, '%', upper[c>>4], upper[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(c byte) bool {
	return c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>'
}

// clip keeps an error short whatever the input is.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// HostPort is what the Host header and :authority say: the port only if it is
// not the scheme's default.
func (u URL) HostPort() string { return u.hostPort }

// makeHostPort reuses the authority as written where that is canonical already.
func (u URL) makeHostPort(authority string) string {
	host, port := u.Host.Name, ""
	if u.Host.Addr.Is6() {
		host = "[" + host + "]"
	}
	if u.Port != DefaultPort(u.Scheme) {
		port = ":" + strconv.Itoa(int(u.Port))
	}
	if strings.HasPrefix(authority, host) && authority[len(host):] == port {
		return authority
	}
	return host + port
}

// DialAddr is host:port, always with the port.
func (u URL) DialAddr() string {
	return net.JoinHostPort(u.Host.Name, strconv.Itoa(int(u.Port)))
}

// Target is the origin form of the request line: path and query.
func (u URL) Target() string {
	if u.HasQuery {
		return u.Path + "?" + u.Query
	}
	return u.Path
}

// String is the whole URL as it is sent, so without the fragment.
func (u URL) String() string { return u.Scheme + "://" + u.HostPort() + u.Target() }

// SameOrigin compares scheme, host and port.
func (u URL) SameOrigin(v URL) bool {
	return u.Scheme == v.Scheme && u.Port == v.Port && u.Host == v.Host
}

// HTTP gives the form that net/http writes byte for byte. It cleans nothing of
// an Opaque path, but reads one that begins with `//` as an authority; that one
// goes as RawPath, which has to be a valid encoding (withTail sees to that).
func (u URL) HTTP() *url.URL {
	h := &url.URL{
		Scheme: u.Scheme, Host: u.HostPort(),
		RawQuery: u.Query, ForceQuery: u.HasQuery && u.Query == "",
	}
	if !strings.HasPrefix(u.Path, "//") {
		h.Opaque = u.Path
		return h
	}
	h.RawPath = u.Path
	h.Path, _ = url.PathUnescape(h.RawPath) // its escapes were checked by Parse
	return h
}
