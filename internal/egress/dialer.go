// Package egress reaches the network: it resolves, judges, dials, speaks TLS
// and pools connections. Every outbound byte of the service goes through the
// one dialer here; a lint forbids any other.
//
// It knows upstreams only as the values that policy compiled, and it knows
// nothing of calls, retries or redirects.
package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Resolver turns a name into addresses. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer opens guarded TCP connections for one upstream.
type dialer struct {
	guard    guard
	own      own
	resolver Resolver
	connect  time.Duration
	dns      time.Duration // 0: connect is the only cap
	token    string        // for CDN-Loop; empty: none is sent
}

// stagger is how long one address has before the next is tried beside it
// (RFC 8305 section 5).
const stagger = 250 * time.Millisecond

// dial resolves once, judges every answer, and dials only what it judged.
func (d *dialer) dial(ctx context.Context, hostport string) (*conn, error) {
	to, err := splitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	rec := recordFrom(ctx)
	rec.begin()
	limit := d.limit(rec)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := d.reach(ctx, rec, to, limit)
	if err != nil {
		return nil, err
	}
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	c.opened = err == nil && d.guard.closed(at.Addr())
	return c, nil
}

// limit is the connect clock: the call's own, or the upstream's.
func (d *dialer) limit(rec *Record) time.Duration {
	if rec != nil && rec.connect > 0 {
		return rec.connect
	}
	return d.connect
}

// endpoint is a host, by name or by address, and a port.
type endpoint struct {
	host string
	port uint16
}

func (e endpoint) String() string { return net.JoinHostPort(e.host, strconv.Itoa(int(e.port))) }

func splitHostPort(hostport string) (endpoint, error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return endpoint{}, fault.Wrap(fault.Internal, err, "a malformed address reached the dialer")
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return endpoint{}, fault.Wrap(fault.Internal, err, "a malformed port reached the dialer")
	}
	return endpoint{host, uint16(port)}, nil
}

// reach is dial under a clock that runs already; limit is what it began with.
func (d *dialer) reach(ctx context.Context, rec *Record, to endpoint, limit time.Duration) (*conn, error) {
	addrs, err := d.resolve(ctx, rec, to.host, limit)
	if err != nil {
		return nil, err
	}
	if err := d.own.judgeAll(d.guard, addrs, to.port); err != nil {
		return nil, err
	}
	rec.connecting(netip.AddrPortFrom(addrs[0], to.port))
	start := time.Now()
	c, err := d.connectAny(ctx, addrs, to.port)
	rec.connected(time.Since(start), c)
	if err != nil {
		return nil, connectFault(ctx, err, to.String(), limit)
	}
	return c, nil
}

// resolve gives judged addresses, an IP literal's own included.
func (d *dialer) resolve(ctx context.Context, rec *Record, host string, limit time.Duration) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, d.guard.judge(addr)
	}
	addrs, err := d.lookUp(ctx, rec, host, limit)
	if err != nil {
		return nil, err
	}
	if err := d.guard.judgeAll(host, addrs); err != nil {
		return nil, err
	}
	return interleave(addrs), nil
}

// lookUp gives the addresses of a name, within the dns clock if there is one.
func (d *dialer) lookUp(ctx context.Context, rec *Record, host string, limit time.Duration) ([]netip.Addr, error) {
	if err := judgeName(host); err != nil {
		return nil, err
	}
	clock := "connect"
	if d.dns > 0 && d.dns < limit {
		clock, limit = "dns", d.dns
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.dns)
		defer cancel()
	}
	start := time.Now()
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	rec.resolved(time.Since(start))
	if err != nil {
		return nil, dnsFault(ctx, err, host, clock, limit)
	}
	if len(addrs) == 0 {
		return nil, fault.Newf(fault.DNSError, "host %s has no addresses", host)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// interleave alternates the families, IPv6 first (RFC 8305 section 4).
func interleave(addrs []netip.Addr) []netip.Addr {
	var six, four []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := 0; i < max(len(six), len(four)); i++ {
		if i < len(six) {
			out = append(out, six[i])
		}
		if i < len(four) {
			out = append(out, four[i])
		}
	}
	return out
}

// connectAny races the addresses, each with a head start (Happy Eyeballs, RFC
// 8305). It returns when one is connected or all have failed, and leaves no
// goroutine and no second connection behind.
func (d *dialer) connectAny(ctx context.Context, addrs []netip.Addr, port uint16) (*conn, error) {
	if len(addrs) == 1 {
		return d.connectOne(ctx, netip.AddrPortFrom(addrs[0], port))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		c   *conn
		err error
	}
	results := make(chan result, len(addrs))
	next := time.NewTimer(0)
	defer next.Stop()
	var won *conn
	var first error
	for started, ended := 0, 0; ended < started || won == nil && started < len(addrs); {
		select {
		case <-next.C:
			if won == nil && started < len(addrs) {
				addr := netip.AddrPortFrom(addrs[started], port)
				started++
				go func() {
					c, err := d.connectOne(ctx, addr)
					results <- result{c, err}
				}()
				next.Reset(stagger)
			}
		case r := <-results:
			ended++
			switch {
			case r.err == nil && won == nil:
				won = r.c
				cancel() // the losers end at once, and are waited for
			case r.err == nil:
				_ = r.c.Close()
			case first == nil:
				first = r.err
				next.Reset(0)
			default:
				next.Reset(0)
			}
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, first
}

// connectOne dials one judged address. The address is judged again at the
// socket, so that no path into here can skip the guard.
func (d *dialer) connectOne(ctx context.Context, addr netip.AddrPort) (*conn, error) {
	nd := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4},
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if err := d.own.judge(d.guard, at); err != nil {
				return err
			}
			return d.guard.judge(at.Addr())
		},
	}
	c, err := nd.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// dnsFault sorts the resolver's errors.
func dnsFault(ctx context.Context, err error, host, clock string, limit time.Duration) error {
	if cause := outerCause(ctx); cause != nil {
		return cause
	}
	var dns *net.DNSError
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &dns) && dns.IsTimeout {
		return fault.Wrap(fault.DNSTimeout, err, "resolving "+host+" took longer than the "+clock+" clock of "+limit.String())
	}
	if dns != nil && dns.IsNotFound {
		return fault.Wrap(fault.DNSError, err, "host "+host+" does not exist")
	}
	return fault.Wrap(fault.DNSError, err, "resolving "+host+" failed")
}

// outerCause gives why the try's own context ended, if it did.
func outerCause(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	return nil
}

func connectFault(ctx context.Context, err error, hostport string, limit time.Duration) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return known
	case outerCause(ctx) != nil:
		return outerCause(ctx)
	case errors.Is(ctx.Err(), context.DeadlineExceeded), isTimeout(err):
		return fault.Wrap(fault.ConnectTimeout, err, "no connection to "+hostport+" within the connect clock of "+limit.String())
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.Wrap(fault.ConnectionRefused, err, hostport+" refused the connection: nothing listens on that port")
	case errors.Is(err, syscall.ECONNRESET):
		return fault.Wrap(fault.ConnectionReset, err, hostport+" reset the connection while it was being opened")
	case isExhausted(err):
		return fault.Wrap(fault.Overloaded, err, "this replica has no socket left to connect with")
	default:
		return fault.Wrap(fault.HostUnreachable, err, "no route to "+hostport)
	}
}

// isExhausted says that the shortage is on this side.
func isExhausted(err error) bool {
	for _, no := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
