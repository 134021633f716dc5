package fetch

import (
	"fmt"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// credentialText is what calls of u carry.
func credentialText(c *policy.Credential, u target.URL) string {
	switch {
	case c == nil:
		return "none"
	case !c.GoesTo(u):
		return "none, " + c.Name + " is not bound to " + u.Scheme + "://" + u.HostPort()
	}
	return c.Name
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
