package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// names are what the REST listener may be called in a Host header. A browser on
// this machine, or in this network, can be made to call any port it reaches; a
// name that a foreign DNS zone points here (rebinding), or a page of another
// origin, is refused.
type names struct {
	hosts map[string]bool // with the port
	// more are names of any port: what the operator says.
	more []string
	// tls has a certificate, whose names are names too; may be nil.
	tls *TLS
	// addresses: any address in the Host header is one of this listener. None can
	// be rebound, and behind a load balancer they are not its own.
	addresses bool
}

// namesOf derives them from the listener: its address, and on loopback the ways
// to say so.
func namesOf(addr net.Addr, more []string, tls *TLS) names {
	n := names{hosts: map[string]bool{}, tls: tls}
	for _, name := range more {
		n.more = append(n.more, strings.ToLower(name))
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return n
	}
	all := []string{host}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		all = append(all, "localhost", "127.0.0.1", "::1")
	} else {
		n.addresses = true
	}
	standard := "80"
	if tls != nil {
		standard = "443"
	}
	for _, h := range all {
		n.hosts[net.JoinHostPort(h, port)] = true
		if port == standard {
			n.hosts[strings.TrimSuffix(net.JoinHostPort(h, ""), ":")] = true
		}
	}
	return n
}

// guard refuses what a web page elsewhere could have sent, and tells of it.
func (n names) guard(told func(*http.Request, error) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := n.check(r); err != nil {
			writeProblem(w, told(r, err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (n names) check(r *http.Request) error {
	if !n.has(strings.ToLower(r.Host)) {
		return fault.Newf(fault.ForeignOrigin, "Host %s is not a name of this listener: use its address, or have `serve` told the name by --rest-name", quote(r.Host))
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
	default:
		return fault.Newf(fault.ForeignOrigin, "Sec-Fetch-Site %s: a web page of another origin may not call", quote(site))
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	for _, origin := range r.Header["Origin"] {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != scheme || !strings.EqualFold(u.Host, r.Host) {
			return fault.Newf(fault.ForeignOrigin, "Origin %s: a web page of another origin may not call", quote(origin))
		}
	}
	return nil
}

// has says whether a Host header in lower case is a name of the listener.
func (n names) has(host string) bool {
	if n.hosts[host] {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if name == "" {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil && n.addresses {
		return true
	}
	return slices.Contains(n.more, name) || n.tls != nil && n.tls.named(name)
}
