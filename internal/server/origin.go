package server

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// names are what the REST listener may be called in a Host header. A browser on
// this machine can be made to call any port on loopback; a name that a foreign
// DNS zone points here (rebinding), or a page of another origin, is refused.
type names struct{ hosts map[string]bool }

// namesOf derives them from the listener: its address, and on loopback the ways
// to say so.
func namesOf(addr net.Addr) names {
	n := names{hosts: map[string]bool{}}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return n
	}
	all := []string{host}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		all = append(all, "localhost", "127.0.0.1", "::1")
	}
	for _, h := range all {
		n.hosts[net.JoinHostPort(h, port)] = true
		if port == "80" {
			n.hosts[strings.TrimSuffix(net.JoinHostPort(h, ""), ":")] = true
		}
	}
	return n
}

// guard refuses what a web page elsewhere could have sent.
func (n names) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := n.check(r); err != nil {
			writeProblem(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (n names) check(r *http.Request) error {
	if !n.hosts[strings.ToLower(r.Host)] {
		return fault.Newf(fault.ForeignOrigin, "Host %s is not a name of this listener: use its address", quote(r.Host))
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
	default:
		return fault.Newf(fault.ForeignOrigin, "Sec-Fetch-Site %s: a web page of another origin may not call", quote(site))
	}
	for _, origin := range r.Header["Origin"] {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || !strings.EqualFold(u.Host, r.Host) {
			return fault.Newf(fault.ForeignOrigin, "Origin %s: a web page of another origin may not call", quote(origin))
		}
	}
	return nil
}
