package auth

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// pool is several credentials. Each try gets one that is in order: of these the one
// with most of its quota left, as far as the upstream says so, less the requests
// under way; else the one that was used longest ago.
type pool struct {
	source
	scheme *policy.Pool
	needs  Needs

	mu      sync.Mutex
	members []*poolMember
	uses    uint64
}

// poolMember is a credential and how it fares.
type poolMember struct {
	cred   *policy.Credential
	signer Signer

	used  uint64 // counts the pool's uses
	busy  int    // requests under way
	rests time.Time
	quota quota
}

// poolUse is what a pool keeps of a request.
type poolUse struct {
	member *poolMember
	rested time.Time // until when the member was to rest
	proof  any       // the member's own
	done   func()    // ends its being under way
}

func newPool(from source, scheme *policy.Pool, signer func(*policy.Credential) Signer) *pool {
	p := &pool{source: from, scheme: scheme}
	for _, cred := range scheme.Members {
		m := &poolMember{cred: cred, signer: signer(cred)}
		needs := m.signer.Needs()
		p.needs.Body, p.needs.Subject = p.needs.Body || needs.Body, p.needs.Subject || needs.Subject
		p.members = append(p.members, m)
	}
	return p
}

func (p *pool) Needs() Needs { return p.needs }

// Sign has a member sign. One whose own secret or token cannot be had rests, and
// the next is asked.
func (p *pool) Sign(ctx context.Context, o *Outgoing) error {
	var failed error
	tried := map[*poolMember]bool{}
	for {
		use := p.take(ctx, o, tried)
		switch {
		case use == nil && failed != nil:
			return failed
		case use == nil:
			return p.cannot("none of its members may go to %s by %s", o.URL.Place(), o.Request.Method)
		}
		err := p.signBy(ctx, o, use)
		if err == nil {
			return nil
		}
		use.done()
		if !errors.Is(err, fault.CredentialUnavailable) || ctx.Err() != nil {
			return err
		}
		failed, tried[use.member] = err, true
		p.refused(use.member)
	}
}

// signBy leaves o as it was if the member cannot sign.
func (p *pool) signBy(ctx context.Context, o *Outgoing, use *poolUse) error {
	m := use.member
	own := *o
	request := *o.Request
	request.Header = maps.Clone(o.Request.Header)
	own.Request, own.Before = &request, m.asker(o)
	err := m.signer.Sign(ctx, &own)
	o.Waited = own.Waited
	if err != nil {
		return err
	}
	o.Request.Header, o.Request.URL = request.Header, request.URL
	o.Revealed, o.Headers = own.Revealed, own.Headers
	o.Name = p.name + "/" + m.cred.Name
	use.proof = own.proof
	o.proof = use
	return nil
}

// asker is the request of m whose answer asked for o; nil: o is m's first.
func (m *poolMember) asker(o *Outgoing) *Outgoing {
	if o.Before == nil {
		return nil
	}
	use, ok := o.Before.proof.(*poolUse)
	if !ok || use.member != m {
		return nil
	}
	own := *o.Before
	own.proof = use.proof
	return &own
}

// take chooses a member and counts the request as one of its until the answer is
// there or ctx ends; nil: there is none to choose.
func (p *pool) take(ctx context.Context, o *Outgoing, tried map[*poolMember]bool) *poolUse {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.choose(o, tried)
	if m == nil {
		return nil
	}
	p.uses++
	m.used, m.busy = p.uses, m.busy+1
	ended := sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		m.busy--
	})
	stop := context.AfterFunc(ctx, ended)
	return &poolUse{member: m, rested: m.rests, done: func() { stop(); ended() }}
}

// choose gives the best member for o that was not tried; nil: there is none. One
// that asked for another request gets it. It runs with mu held.
func (p *pool) choose(o *Outgoing, tried map[*poolMember]bool) *poolMember {
	now := p.Now()
	if o.Before != nil {
		if use, ok := o.Before.proof.(*poolUse); ok && !tried[use.member] && !now.Before(use.member.rests) {
			return use.member
		}
	}
	most := int64(0) // one whose quota nobody knows has as much as any
	for _, m := range p.members {
		if left, known := m.quota.left(now); known {
			most = max(most, left)
		}
	}
	var best *poolMember
	for _, m := range p.members {
		if !tried[m] && (best == nil || m.before(best, now, most)) && m.cred.GoesWith(o.Request.Header, o.Request.Method, o.URL) {
			best = m
		}
	}
	return best
}

// before says that m is the better choice. Where all rest, the one whose rest ends
// first is: a call that may fail is better than one that does.
func (m *poolMember) before(other *poolMember, now time.Time, most int64) bool {
	return cmp.Or(
		m.restEnds(now).Compare(other.restEnds(now)),
		cmp.Compare(other.expects(now, most), m.expects(now, most)),
		cmp.Compare(m.used, other.used),
	) < 0
}

// restEnds is the zero time for one that does not rest.
func (m *poolMember) restEnds(now time.Time) time.Time {
	end := m.rests
	if left, known := m.quota.left(now); known && left == 0 && m.quota.resets.After(end) {
		end = m.quota.resets
	}
	if !now.Before(end) {
		return time.Time{}
	}
	return end
}

// expects is what will be left of the quota once the requests under way are
// counted.
func (m *poolMember) expects(now time.Time, most int64) int64 {
	left, known := m.quota.left(now)
	if !known {
		left = most
	}
	return left - int64(m.busy)
}

// refused has m rest, unless what it sends depends on the caller: then one caller's
// refusal is not another's.
func (p *pool) refused(m *poolMember) {
	if !m.signer.Needs().Subject {
		p.rest(m, 0)
	}
}

// rest keeps m from being chosen for the policy's rest, or longer.
func (p *pool) rest(m *poolMember, least time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end := p.Now().Add(max(p.scheme.Rest, least)); end.After(m.rests) {
		m.rests = end
	}
}

// Answered has the member hear of the answer, and learns what is left of its quota.
func (p *pool) Answered(ctx context.Context, o *Outgoing, res *http.Response) Verdict {
	use, ok := o.proof.(*poolUse)
	if !ok {
		return Verdict{}
	}
	m := use.member
	use.done()
	own := *o
	own.proof, own.Before = use.proof, m.asker(o)
	v := m.signer.Answered(ctx, &own, res)
	use.proof = own.proof
	p.heard(use, res)
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		p.rest(m, min(askedToWait(res.Header, p.Now()), maxRest))
	case res.StatusCode == http.StatusUnauthorized && !v.Again:
		p.refused(m)
		if p.hasOther(m, o) {
			return Verdict{Again: true, Why: "credential \"" + m.cred.Name + "\" of the pool was refused: another is taken"}
		}
	}
	return v
}

// maxRest bounds what an upstream may ask for by Retry-After.
const maxRest = 24 * time.Hour

// heard keeps what an answer says of the member's quota. One that was let in while
// it was to rest need not rest any more.
func (p *pool) heard(use *poolUse, res *http.Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, now := use.member, p.Now()
	if res.StatusCode < 300 && m.rests.Equal(use.rested) {
		m.rests = time.Time{}
	}
	if q, said := quotaOf(res.Header, now, p.scheme.Rest); said {
		m.quota = q
	}
}

// hasOther says that some member but m is in order and may go there.
func (p *pool) hasOther(m *poolMember, o *Outgoing) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	for _, other := range p.members {
		if other != m && other.restEnds(now).IsZero() && other.cred.GoesWith(o.Request.Header, o.Request.Method, o.URL) {
			return true
		}
	}
	return false
}
