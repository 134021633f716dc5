package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// destination is what a proxy is asked to connect to: a judged address, or with
// an invalid addr a name.
type destination struct {
	name string
	addr netip.Addr
	port uint16
}

func (d destination) String() string {
	if d.addr.IsValid() {
		return netip.AddrPortFrom(d.addr, d.port).String()
	}
	return endpoint{d.name, d.port}.String()
}

// via reaches hostport by way of px, within the connect clock: through a tunnel,
// or in absolute form only as far as the proxy.
func (p *pool) via(ctx context.Context, px *proxy, hostport string, absolute bool) (net.Conn, error) {
	to, err := splitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	rec := recordFrom(ctx)
	rec.begin()
	rec.through(px.String())
	limit := p.dialer.limit(rec)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	all, err := p.destinations(ctx, rec, px, to, limit)
	if err != nil {
		return nil, err
	}
	if absolute {
		return px.reach(ctx, rec, limit)
	}
	start, before := time.Now(), rec.Dialed().DNS
	c, err := px.openAny(ctx, rec, all, limit)
	rec.tunnelled(time.Since(start) - (rec.Dialed().DNS - before))
	return c, err
}

// destinations are what px may be asked for. An address is judged even where the
// proxy resolves names.
func (p *pool) destinations(ctx context.Context, rec *Record, px *proxy, to endpoint, limit time.Duration) ([]destination, error) {
	if _, err := netip.ParseAddr(to.host); err != nil && px.resolves {
		if err := judgeName(to.host); err != nil {
			return nil, err
		}
		return []destination{{name: to.host, port: to.port}}, nil
	}
	addrs, err := p.dialer.resolve(ctx, rec, to.host, limit)
	if err != nil {
		return nil, err
	}
	if err := p.dialer.own.judgeAll(p.dialer.guard, addrs, to.port); err != nil {
		return nil, err
	}
	all := make([]destination, len(addrs))
	for i, addr := range addrs {
		all[i] = destination{to.host, addr, to.port}
	}
	return all, nil
}

// openAny asks for one destination after the other until one answers. It goes on
// only after failures that another address may not share, and gives the first.
func (px *proxy) openAny(ctx context.Context, rec *Record, all []destination, limit time.Duration) (net.Conn, error) {
	var first error
	for i, to := range all {
		if to.addr.IsValid() {
			rec.asking(netip.AddrPortFrom(to.addr, to.port))
		}
		c, err := px.open(ctx, rec, to, len(all)-i, limit)
		if err == nil {
			if own := beneath(c); own != nil && to.addr.IsValid() {
				own.opened = px.dialer.guard.closed(to.addr)
			}
			return c, nil
		}
		if first == nil {
			first = err
		}
		if !ofAddress(err) || ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// ofAddress says that another address may fare better.
func ofAddress(err error) bool {
	return errors.Is(err, fault.HostUnreachable) || errors.Is(err, fault.ConnectionRefused) || errors.Is(err, fault.ConnectTimeout)
}

// open asks for one destination on a connection of its own. It and the others
// that are left share the time that is left.
func (px *proxy) open(ctx context.Context, rec *Record, to destination, left int, limit time.Duration) (net.Conn, error) {
	c, err := px.reach(ctx, rec, limit)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
		ctx = share
	}
	if err := px.converse(ctx, c, to); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// converse asks for to on c.
func (px *proxy) converse(ctx context.Context, c net.Conn, to destination) error {
	const late = "within the connect clock"
	if px.scheme == "http" || px.scheme == "https" {
		err := underClock(ctx, c, func() error { return px.connectTo(c, to) })
		return px.broken(ctx, err, fault.ConnectTimeout, "did not connect to "+to.String()+" "+late)
	}
	err := underClock(ctx, c, func() error { return px.greet(c) })
	if err != nil {
		return px.broken(ctx, err, fault.ProxyUnreachable, "did not answer the SOCKS greeting "+late)
	}
	err = underClock(ctx, c, func() error { return px.ask(c, to) })
	return px.broken(ctx, err, fault.ConnectTimeout, "did not connect to "+to.String()+" "+late)
}

// underClock runs f, which reads and writes c, until ctx ends.
func underClock(ctx context.Context, c net.Conn, f func() error) error {
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(past) })
	err := f()
	if !stop() && err == nil {
		return context.Cause(ctx) // too late: c has a deadline in the past
	}
	return err
}

// broken sorts what ended a conversation with the proxy; slow is the kind, and
// what the message, of one that took too long.
func (px *proxy) broken(ctx context.Context, err error, slow fault.Kind, what string) error {
	var known *fault.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case outerCause(ctx) != nil:
		return outerCause(ctx)
	case ctx.Err() != nil, isTimeout(err):
		return fault.Wrap(slow, err, "the proxy "+px.String()+" "+what)
	default:
		return fault.Wrap(fault.ProxyBadResponse, err, "the proxy "+px.String()+" hung up before it had answered")
	}
}
