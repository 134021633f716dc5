package fetch

import (
	"fmt"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// credentialText is what c carries.
func credentialText(c *Call) string {
	h := c.hop
	cred := chosen(c.req, h.route)
	switch {
	case cred == nil:
		return "none"
	case !cred.GoesWith(h.header, h.method, h.url):
		return "none, " + cred.Name + " is not bound to " + h.method + " " + h.url.Place()
	case c.credential(h) == nil:
		return "none, the caller's own " + ownProof(h.header, cred) + " is kept"
	}
	return cred.Words()
}

func grantsText(g policy.Grants) string {
	var names []string
	for _, one := range []struct {
		given bool
		name  string
	}{
		{g.Proxy, "request_proxy"}, {g.CA, "request_ca"}, {g.ClientCert, "request_client_cert"},
		{g.SkipVerify, "unsafe_skip_verify"}, {g.Host, "unsafe_request_host"},
	} {
		if one.given {
			names = append(names, one.name)
		}
	}
	return listText(names)
}

func kindsText(kinds []fault.Kind) string {
	if kinds == nil {
		return "all that may fare better another time"
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return listText(names)
}

func listText[T any](list []T) string {
	if len(list) == 0 {
		return "none"
	}
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = fmt.Sprint(v)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func clockText(d time.Duration) string {
	if d == 0 {
		return "off"
	}
	return durationText(d)
}

// durationText writes 1m, not 1m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
