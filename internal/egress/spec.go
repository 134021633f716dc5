package egress

import (
	"fmt"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// Spec is everything that shapes the connections of one upstream.
type Spec struct {
	// Name is the upstream's.
	Name string
	// Connection is the guard's openings, the proxy and what is asked of TLS.
	Connection policy.Connection
	// Connect caps resolving and connecting, through the proxy if there is one, for
	// a call that asks for nothing.
	Connect time.Duration
	// DNS caps resolving alone; 0: Connect is the only cap.
	DNS time.Duration
	// TLSHandshake caps the handshake.
	TLSHandshake time.Duration
	// ResponseHeader is the largest response head, in bytes.
	ResponseHeader int64
}

// specOf takes the Spec out of a compiled upstream.
func specOf(up *policy.Upstream) Spec {
	return Spec{
		Name:           up.Name,
		Connection:     up.Connection,
		Connect:        up.Base.Timeouts.Connect.Default,
		DNS:            up.Base.Timeouts.DNS,
		TLSHandshake:   up.Base.Timeouts.TLS,
		ResponseHeader: up.Base.Sizes.ResponseHeader,
	}
}

// key is the same for two Specs whose connections would be made the same way.
func (s Spec) key() string {
	c := s.Connection
	proxy := "direct"
	if c.Proxy != nil {
		proxy = fmt.Sprintf("%+v", *c.Proxy)
	}
	return fmt.Sprintf("%q|%v|%s|%+v|%s|%s|%s|%d", s.Name, c.AllowAddresses, proxy, c.TLS,
		s.Connect, s.DNS, s.TLSHandshake, s.ResponseHeader)
}
