package fetch

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// way is how the first hop reaches its upstream.
type way struct {
	// proxy says by which proxy, and how it is asked; `none`: by none.
	proxy string
	// byName: a proxy may be handed the name, which nobody here resolves then.
	byName bool
}

func (c *Call) way() way {
	if own := c.req.Connection; own != nil && own.Proxy != nil {
		p := own.Proxy
		return way{proxy: proxyText(p.Scheme, p.Host, p.Port) + usedFor(p.Scheme, c.hop.url.Scheme, false)}
	}
	p := c.hop.upstream.Proxy
	switch {
	case p == nil:
		return way{proxy: "none"}
	case bypassed(p, c.hop.url):
		return way{proxy: "none, by no_proxy"}
	case p.FromEnvironment:
		return way{proxy: "from_environment", byName: p.UnsafeResolves}
	}
	return way{
		proxy:  proxyText(p.Scheme, p.Host, p.Port) + usedFor(p.Scheme, c.hop.url.Scheme, p.UnsafeResolves),
		byName: p.UnsafeResolves,
	}
}

func proxyText(scheme, host string, port uint16) string {
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// usedFor says what a proxy is asked for, and how.
func usedFor(proxy, scheme string, byName bool) string {
	how := "by CONNECT"
	switch {
	case strings.HasPrefix(proxy, "socks5"):
		how = "by SOCKS5"
	case byName && scheme == "http":
		how = "in absolute form"
	}
	what := "a judged address"
	if byName {
		what = "the name, which it resolves"
	}
	return fmt.Sprintf(" (asked %s for %s)", how, what)
}

// bypassed says that policy reaches u without p.
func bypassed(p *policy.Proxy, u target.URL) bool {
	for _, n := range p.NoProxy {
		if n.Matches(u.Host.Name, u.Port) {
			return true
		}
	}
	return false
}
