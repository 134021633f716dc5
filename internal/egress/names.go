package egress

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// ownResolver is the resolver where none is given: Go's, which unlike libc's
// reads `0x7f.1` as no address.
func ownResolver() Resolver { return fullNames{&net.Resolver{PreferGo: true}} }

// fullNames asks for a name with a dot as it is. The search list of resolv.conf
// is for names of one label alone: with the `ndots:5` of Kubernetes
// `api.example.com` would first be tried as `api.example.com.svc.cluster.local`
// and the like, and whoever may make names there could take the call.
type fullNames struct{ resolver Resolver }

// LookupNetIP is Resolver's.
func (r fullNames) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if strings.Contains(host, ".") && !strings.HasSuffix(host, ".") {
		host += "."
	}
	return r.resolver.LookupNetIP(ctx, network, host)
}
