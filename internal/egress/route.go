package egress

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// routes say by which proxy a host is reached. nil routes: by none.
type routes struct {
	fixed   *proxy
	noProxy []policy.NoProxy

	// Of the environment: what it says of a URL, and the proxy it means for each
	// scheme.
	environment func(*url.URL) (*url.URL, error)
	http, https *proxy
	bad         error // the environment has a proxy that nobody can use
}

// newRoutes reads the environment, if c asks for that, once.
func newRoutes(cfg Config, spec Spec, d dialer) *routes {
	c := spec.Connection.Proxy
	switch {
	case c == nil:
		return nil
	case !c.FromEnvironment:
		return &routes{fixed: newProxy(cfg, c, d, spec.TLSHandshake), noProxy: c.NoProxy}
	}
	env := httpproxy.FromEnvironment()
	env.CGI = false // it is no CGI program, whatever REQUEST_METHOD says
	all := os.Getenv("all_proxy")
	if all == "" {
		all = os.Getenv("ALL_PROXY")
	}
	if env.HTTPProxy == "" {
		env.HTTPProxy = all
	}
	if env.HTTPSProxy == "" {
		env.HTTPSProxy = all
	}
	r := &routes{noProxy: c.NoProxy}
	r.http = r.fromEnvironment(cfg, c, env.HTTPProxy, d, spec)
	r.https = r.fromEnvironment(cfg, c, env.HTTPSProxy, d, spec)
	r.environment = env.ProxyFunc()
	return r
}

// fromEnvironment makes the proxy that a variable names. A variable that cannot
// be read denies every call: going without the proxy is not what it says.
func (r *routes) fromEnvironment(cfg Config, c *policy.Proxy, text string, d dialer, spec Spec) *proxy {
	if text == "" {
		return nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	from, err := parseProxy(text)
	if err != nil {
		r.bad = fmt.Errorf("a proxy of the environment (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY): %w", err)
		return nil
	}
	px := from.proxy(d, spec.TLSHandshake)
	px.dialer.guard = anyAddress
	px.resolves = c.UnsafeResolves // socks5h too: what it asks for is policy's to grant
	px.secureWith(cfg, c.CAFile)
	return px
}

// choose gives the proxy for a host, or nil for none.
func (r *routes) choose(scheme, hostport string) (*proxy, error) {
	if r == nil {
		return nil, nil
	}
	to, err := splitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	for _, n := range r.noProxy {
		if n.Matches(to.host, to.port) {
			return nil, nil
		}
	}
	switch {
	case r.bad != nil:
		return nil, fault.Wrap(fault.ProxyUnreachable, r.bad, r.bad.Error())
	case r.environment == nil:
		return r.fixed, nil
	}
	u, err := r.environment(&url.URL{Scheme: scheme, Host: hostport})
	switch {
	case err != nil || u == nil:
		return nil, err
	case scheme == "https":
		return r.https, nil
	default:
		return r.http, nil
	}
}

// absolute sends plain-http requests to their proxy in absolute form, and the
// others as they are.
type absolute struct {
	pool *pool
}

// RoundTrip makes a request of its own for the proxy; req stays untouched.
func (a absolute) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "http" {
		return a.pool.RoundTrip(req)
	}
	px, err := a.pool.routes.choose("http", withPort(req.URL))
	var auth string
	if err == nil && px.absolute() {
		auth, err = px.authorization()
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	if !px.absolute() {
		return a.pool.RoundTrip(req)
	}
	res, err := a.pool.RoundTrip(inAbsoluteForm(req, auth))
	if err == nil && res.StatusCode == http.StatusProxyAuthRequired {
		_ = res.Body.Close()
		return nil, px.authRequired(auth != "")
	}
	return res, err
}

// inAbsoluteForm is req with the whole URL in its request line, which net/http
// writes so for an Opaque that begins with `//`.
func inAbsoluteForm(req *http.Request, auth string) *http.Request {
	out := req.WithContext(req.Context())
	u := *req.URL
	path := u.Opaque
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	u.Opaque, u.Path, u.RawPath = "//"+u.Host+path, "", ""
	out.URL = &u
	out.Header = req.Header.Clone()
	out.Header.Del("Proxy-Authorization")
	if auth != "" {
		out.Header.Set("Proxy-Authorization", auth)
	}
	return out
}

// withPort is the host and port of an http URL.
func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
