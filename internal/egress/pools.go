package egress

import (
	"container/list"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

const (
	// maxOwn is how many pools there are of calls with settings of their own.
	maxOwn = 64
	// maxNear is how many upstreams are known by their pointer; each snapshot brings
	// new ones.
	maxNear = 4096
)

// Pools holds a connection pool for each upstream. Pools outlive snapshots: an
// upstream whose connections would be made the same way keeps them. Safe for
// concurrent use; Close when done.
type Pools struct {
	cfg Config

	mu    sync.Mutex
	near  map[*policy.Upstream]http.RoundTripper // spares making the key for each call
	pools map[string]*pool
	own   map[string]*list.Element // of *ownPool
	order *list.List               // the one used last is in front
}

// ownPool is the pool of calls with one set of settings of their own.
type ownPool struct {
	key string
	*pool
}

// NewPools makes an empty set of pools.
func NewPools(cfg Config) *Pools {
	if cfg.Resolver == nil {
		cfg.Resolver = ownResolver()
	}
	cfg.census = newCensus(cfg.Closed)
	return &Pools{
		cfg: cfg, near: map[*policy.Upstream]http.RoundTripper{}, pools: map[string]*pool{},
		own: map[string]*list.Element{}, order: list.New(),
	}
}

// For gives the transport of up. It follows no redirect, keeps no cookie, reads
// no environment unless policy says so, undoes no coding and adds no header that
// net/http can be told to leave out.
func (p *Pools) For(up *policy.Upstream) http.RoundTripper {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.near[up]; known != nil {
		return known
	}
	spec := specOf(up)
	key := spec.key()
	if p.pools[key] == nil {
		p.pools[key] = newPool(p.cfg, spec, clientTLS(p.cfg))
	}
	p.pools[key].counter.latest.Store(up)
	if len(p.near) >= maxNear {
		clear(p.near)
	}
	way := p.pools[key].roundTripper()
	p.near[up] = way
	return way
}

// ForCall gives the transport of a call that decides some of its connection
// itself. At most 64 of their pools are kept. A fault names the API's field.
func (p *Pools) ForCall(up *policy.Upstream, o Override) (http.RoundTripper, error) {
	if o.IsZero() {
		return p.For(up), nil
	}
	spec := specOf(up)
	key := spec.key() + "|" + o.key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.own[key]; e != nil {
		p.order.MoveToFront(e)
		known := e.Value.(*ownPool)
		known.counter.latest.Store(up)
		return known.roundTripper(), nil
	}
	made, err := o.pool(p.cfg, spec)
	if err != nil {
		return nil, err
	}
	made.counter.latest.Store(up)
	p.own[key] = p.order.PushFront(&ownPool{key, made})
	if last := p.order.Back(); p.order.Len() > maxOwn {
		p.drop(last)
	}
	return made.roundTripper(), nil
}

// drop forgets an own pool; calls in flight end as they would.
func (p *Pools) drop(e *list.Element) {
	old := e.Value.(*ownPool)
	p.order.Remove(e)
	delete(p.own, old.key)
	old.retire()
}

// Prune forgets the pools that none of used would share, and the own pools of
// calls; call it after a reload. Idle connections of theirs close at once, those
// in use when their calls end, or 90 seconds later.
func (p *Pools) Prune(used []*policy.Upstream) {
	keep := make(map[string]*policy.Upstream, len(used))
	for _, up := range used {
		keep[specOf(up).key()] = up
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.near)
	for key, old := range p.pools {
		if up := keep[key]; up != nil {
			old.counter.settled.Store(up)
			continue
		}
		delete(p.pools, key)
		old.retire()
	}
	for p.order.Len() > 0 {
		p.drop(p.order.Back())
	}
}

// Close closes idle connections; those in use close when their calls end.
func (p *Pools) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pool := range p.pools {
		pool.transport.Load().base.CloseIdleConnections()
	}
	for e := p.order.Front(); e != nil; e = e.Next() {
		e.Value.(*ownPool).transport.Load().base.CloseIdleConnections()
	}
}

// Verdict is what the guard says of one address.
type Verdict struct {
	Addr netip.Addr
	// Allowed says that the upstream may be reached there. One address that is not
	// allowed denies the host.
	Allowed bool
	// Reason is why not; empty if it is.
	Reason string
}

// Judge resolves host and judges its addresses as a call of up would, without
// dialling. It does so for any upstream; where a proxy resolves names
// (unsafe_proxy_resolves), calls do not.
func (p *Pools) Judge(ctx context.Context, up *policy.Upstream, host string) ([]Verdict, error) {
	spec := specOf(up)
	d := dialer{guard: guard{spec.Connection.AllowAddresses, p.cfg.NAT64}, resolver: p.cfg.Resolver, connect: spec.Connect, dns: spec.DNS}
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{addr}
	} else if addrs, err = d.lookUp(ctx, nil, host, d.connect); err != nil {
		return nil, err
	} else {
		addrs = interleave(addrs)
	}
	verdicts := make([]Verdict, len(addrs))
	for i, addr := range addrs {
		err := d.guard.judge(addr)
		verdicts[i] = Verdict{Addr: addr, Allowed: err == nil}
		var f *fault.Error
		if errors.As(err, &f) {
			verdicts[i].Reason = f.Message
		}
	}
	return verdicts, nil
}
