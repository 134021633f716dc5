package server

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// callerLimits hold each caller to what policy lets it do at once and how fast
// (`limits`, `caller_limits`). What a caller has in flight and what is left of its
// rate outlive a snapshot; of a caller that a policy drops, they are forgotten. Safe
// for concurrent use. The nil one limits nobody.
type callerLimits struct {
	current func() *policy.Snapshot
	epoch   time.Time // that quotas count time from

	mu    sync.Mutex // held by follow
	table atomic.Pointer[quotaTable]
}

// quotaTable is the quotas under one snapshot.
type quotaTable struct {
	snapshot *policy.Snapshot
	of       map[string]*quota
	// others is of those that the snapshot does not know: a policy may lose a caller
	// between its proof and its call.
	others *quota
}

func newCallerLimits(current func() *policy.Snapshot) *callerLimits {
	return &callerLimits{current: current, epoch: time.Now()}
}

// now is the time by a clock that is never set.
func (l *callerLimits) now() int64 { return int64(time.Since(l.epoch)) }

// find gives the quota of a caller, under the policy in force.
func (l *callerLimits) find(name string) *quota {
	t := l.table.Load()
	if t == nil || t.snapshot != l.current() {
		t = l.follow()
	}
	if q := t.of[name]; q != nil {
		return q
	}
	return t.others
}

// follow makes the table of the policy in force. It is for the first call after a
// reload to do: until then nobody would notice.
func (l *callerLimits) follow() *quotaTable {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, s := l.table.Load(), l.current()
	if old != nil && old.snapshot == s {
		return old
	}
	if old == nil {
		old = &quotaTable{}
	}
	t := &quotaTable{snapshot: s, of: make(map[string]*quota, len(s.Callers)+1), others: old.others.follow(l, "", s)}
	t.of[anonymous] = old.of[anonymous].follow(l, anonymous, s)
	for _, name := range s.Callers {
		t.of[name] = old.of[name].follow(l, name, s)
	}
	l.table.Store(t)
	return t
}

// seat is what a call holds while it lasts. The zero value holds nothing.
type seat struct{ quota *quota }

// leave gives the place back.
func (s seat) leave() {
	if s.quota != nil {
		s.quota.leave()
	}
}

// enter lets a call of c begin, or says why not. It counts a call once: what the
// REST door let in before it read the body has its seat there.
func (l *callerLimits) enter(c *caller, method string) (seat, error) {
	places := takesPlace(method) && !c.seated
	if l == nil || c.quota != nil && !places {
		return seat{}, nil
	}
	q := c.quota
	var err error
	if q == nil {
		q = l.find(c.name)
		err = q.enter(places)
	} else if b := q.bounds.Load(); !q.take(b) { // the door took the request for another
		err = tooManyCalls(q.caller, b)
	}
	if err != nil {
		return seat{}, err
	}
	c.quota, c.seated = q, c.seated || places
	if !places {
		return seat{}, nil
	}
	return seat{q}, nil
}

// policyMethods begins the names of PolicyService's methods.
const policyMethods = "/fetchsvc.v1.PolicyService/"

// takesPlace says that a call counts as in flight. Those of PolicyService and REST
// pages do not: they are over at once, and are wanted when places are short.
func takesPlace(method string) bool {
	return method != restPage && !strings.HasPrefix(method, policyMethods)
}
