package policy

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// parseOrigin reads `https://host` with an optional port.
func parseOrigin(s string) (endpoint, error) {
	scheme, host, found := strings.Cut(s, "://")
	if !found || scheme != "https" && scheme != "http" {
		return endpoint{}, fmt.Errorf("%q is no origin: write https://api.example.com", s)
	}
	if name, rest, more := strings.Cut(host, "/"); more && rest == "" {
		host = name
	}
	at, hasPort, err := parsePattern(host)
	if err != nil {
		return at, err
	}
	at.tls = scheme == "https"
	if !hasPort {
		at.port = target.DefaultPort(scheme)
	}
	return at, nil
}

// GoesTo says that the credential is bound to u's origin, and to the method and
// the path where it names any. Other calls of its upstream go without it.
func (cred *Credential) GoesTo(method string, u target.URL) bool {
	return cred.boundTo(u) && (cred.methods.empty() || cred.methods.has(method)) && cred.hasPath(u)
}

// methodHeaders ask a server to read a request as if it had another method.
var methodHeaders = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// AskedMethods are the headers of h that ask for another method, with what they ask
// for.
func AskedMethods(h http.Header) iter.Seq2[string, string] {
	return func(yield func(name, method string) bool) {
		for _, name := range methodHeaders {
			for _, m := range h[name] {
				if !yield(name, strings.ToUpper(strings.TrimSpace(m))) {
					return
				}
			}
		}
	}
}

// GoesWith is GoesTo for a request with h, whatever method a server may read it as.
func (cred *Credential) GoesWith(h http.Header, method string, u target.URL) bool {
	if !cred.methods.empty() {
		for _, asked := range AskedMethods(h) {
			if !cred.methods.has(asked) {
				return false
			}
		}
	}
	return cred.GoesTo(method, u)
}

// hasPath is false for a path that servers could read in another way.
func (cred *Credential) hasPath(u target.URL) bool {
	if len(cred.paths) == 0 {
		return true
	}
	path, ambiguous := decodePath(u.Path)
	return ambiguous == "" && slices.ContainsFunc(cred.paths, func(g glob) bool { return g.match(path) })
}

func (cred *Credential) boundTo(u target.URL) bool {
	at := endpoint{host: u.Host.Name, kind: exact, port: u.Port, tls: u.Scheme == "https"}
	for _, b := range cred.bind {
		if b.covers(at) && (b.kind != wildcard || !u.Host.IsAddr()) {
			return true
		}
	}
	return false
}

// meets says that the credential is bound to some origin of up.
func (cred *Credential) meets(up *Upstream) bool {
	return up.someOrigin(func(at endpoint) bool { return slices.ContainsFunc(cred.bind, at.overlaps) })
}

// holds says that the credential is bound to every origin of up.
func (cred *Credential) holds(up *Upstream) bool {
	return !up.someOrigin(func(at endpoint) bool {
		return !slices.ContainsFunc(cred.bind, func(b endpoint) bool { return b.covers(at) })
	})
}

// someOrigin says that is holds for an origin of up. Hosts that cannot be read are
// said elsewhere.
func (up *Upstream) someOrigin(is func(endpoint) bool) bool {
	for _, pattern := range up.Hosts {
		for _, scheme := range up.Schemes {
			if at, err := parseOrigin(scheme + "://" + pattern); err == nil && is(at) {
				return true
			}
		}
	}
	return false
}

// overlaps says that some origin is one of both.
func (at endpoint) overlaps(other endpoint) bool {
	return at.tls == other.tls && (at.port == other.port || at.port == anyPort || other.port == anyPort) &&
		(at.coversHost(other) || other.coversHost(at))
}

// covers says that every origin of other is one of at.
func (at endpoint) covers(other endpoint) bool {
	return at.tls == other.tls && (at.port == other.port || at.port == anyPort) && at.coversHost(other)
}

// coversHost says that every host of other is one of at.
func (at endpoint) coversHost(other endpoint) bool {
	switch at.kind {
	case anyHost:
		return true
	case wildcard:
		return other.kind != anyHost && strings.HasSuffix(other.host, "."+at.host) || other.kind == wildcard && other.host == at.host
	default:
		return other.kind == exact && other.host == at.host
	}
}
