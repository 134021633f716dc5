package target

import (
	"errors"
	"net/url"
	"strings"
)

// Resolve reads a Location header against the URL that sent it (RFC 9110
// section 10.2.2, RFC 3986 section 5). Servers send spaces and raw UTF-8 there;
// both are percent-encoded, as browsers do. A reference without a fragment
// keeps the base's.
func (u URL) Resolve(location string) (URL, error) {
	location = escape(strings.Trim(location, " \t"))
	if location == "" {
		return URL{}, errors.New("the Location header is empty")
	}
	if badEscape(location) >= 0 {
		// Browsers send such a percent sign as it is; so that one reading holds
		// everywhere, it is encoded.
		location = escapePercent(location)
	}
	ref, err := url.Parse(location)
	if err != nil {
		return URL{}, errors.New("the Location header is not a URL reference")
	}
	var next URL
	switch {
	case ref.Scheme != "":
		next, err = Parse(location)
	case strings.HasPrefix(location, "//"):
		next, err = Parse(u.Scheme + ":" + location)
	default:
		next, err = u.resolveTail(location)
	}
	if err != nil {
		return URL{}, err
	}
	if !strings.Contains(location, "#") {
		next.Fragment = u.Fragment
	}
	return next, nil
}

// resolveTail resolves a reference that stays on the same authority.
func (u URL) resolveTail(ref string) (URL, error) {
	next := URL{Scheme: u.Scheme, Host: u.Host, Port: u.Port, hostPort: u.hostPort}
	switch ref[0] {
	case '/':
		path, rest := cutPath(ref)
		return next.withTail(removeDots(path) + rest)
	case '?':
		return next.withTail(u.Path + ref)
	case '#':
		return next.withTail(u.Target() + ref)
	default:
		path, rest := cutPath(ref)
		dir := u.Path[:strings.LastIndexByte(u.Path, '/')+1]
		return next.withTail(removeDots(dir+path) + rest)
	}
}

// cutPath parts the path of a reference from its query and fragment.
func cutPath(ref string) (path, rest string) {
	if i := strings.IndexAny(ref, "?#"); i >= 0 {
		return ref[:i], ref[i:]
	}
	return ref, ""
}

// removeDots is RFC 3986 section 5.2.4.
func removeDots(path string) string {
	segments := strings.Split(path, "/")
	out := segments[:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "." || s == "..":
			if s == ".." && len(out) > 1 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return strings.Join(out, "/")
}

func escapePercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			b.WriteString("%25")
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
