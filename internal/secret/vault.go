package secret

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

const (
	// patience is how long one reading of a secret may take, a login included.
	patience = 10 * time.Second
	// hopeless is how long a secret is asked for in the background that was never had
	// and that nobody asks for any more.
	hopeless = time.Minute
	// atOnce is how many secrets of a vault are read at the same time.
	atOnce = 8
	// firstPause and lastPause are how long what failed is not tried again: the pause
	// doubles from one to the other.
	firstPause, lastPause = time.Second, 5 * time.Second
)

// vault reads secrets of one server ahead of need, as long as they are in use.
type vault struct {
	cfg   Vault
	local func(reference, bool) (Value, error) // reads its own proofs
	log   *slog.Logger
	tally *tally // of the readings of its secrets

	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	work    sync.WaitGroup
	wake    chan struct{} // something is to be done sooner than was thought
	reading chan struct{} // holds one for each reading
	gate    chan struct{} // holds one while somebody logs in

	mu        sync.Mutex
	closed    bool
	transport http.RoundTripper
	entries   map[string]*entry // by path
	session   *session          // nil: none yet
	tended    bool              // the session is being looked after
	grief     string            // why it could not be, the last time
	logins    uint64            // how many there were
	refused   pause             // the login
	down      pause             // the server
}

// pause holds off what has just failed, so that a server in trouble is not pressed.
type pause struct {
	err   error
	until time.Time
	last  time.Duration
}

// failed notes a failure of what began at begun. Those that began before the pause
// that holds now are one failure.
func (p *pause) failed(begun, now time.Time, err error) {
	if p.err == nil || p.until.Before(begun) || p.until.Equal(begun) {
		p.last = min(max(2*p.last, firstPause), lastPause)
		p.until = now.Add(p.last)
	}
	p.err = err
}

// holds is the failure for whose sake nothing is tried now; nil: try.
func (p *pause) holds(now time.Time) error {
	if now.Before(p.until) {
		return p.err
	}
	return nil
}

func openVault(cfg Vault, local func(reference, bool) (Value, error), log *slog.Logger) *vault {
	cfg.Address = strings.TrimSuffix(cfg.Address, "/")
	cfg.Mount = cmp.Or(cfg.Mount, "secret")
	cfg.Refresh = cmp.Or(cfg.Refresh, time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	v := &vault{
		cfg: cfg, local: local, log: cmp.Or(log, slog.New(slog.DiscardHandler)).With("vault", cfg.Name),
		tally: &tally{}, ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), reading: make(chan struct{}, atOnce), gate: make(chan struct{}, 1),
		transport: cfg.Transport, entries: map[string]*entry{},
	}
	v.work.Go(v.run)
	return v
}

// reach is how the server is reached from now on.
func (v *vault) reach(transport http.RoundTripper) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.transport = transport
}

// close ends what is under way, and waits for it.
func (v *vault) close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.cancel()
	v.work.Wait()
}

// start runs work in the background, where close waits for it. cause is the Trace of
// the call that it is for; nil: it is for none. v.mu is held.
func (v *vault) start(cause *telemetry.Trace, work func(ctx context.Context)) {
	ctx, _ := telemetry.Detached(v.ctx, cause)
	v.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		work(ctx)
	})
}

// run does what is due until close.
func (v *vault) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-timer.C:
		case <-v.wake:
		}
		if v.cfg.Token != "" {
			_, _ = v.given() // what is wrong with it is told to whoever needs it
		}
		timer.Reset(time.Until(v.tend(time.Now())))
	}
}

// soon has run look again.
func (v *vault) soon() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// tend starts what is due, forgets what is not used, and says when to come again.
func (v *vault) tend(now time.Time) time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := now.Add(time.Minute)
	for path, e := range v.entries {
		switch {
		case e.flight != nil || v.closed:
			continue // it wakes us
		case e.forgotten(now):
			delete(v.entries, path)
			continue
		case !e.due.After(now):
			v.fly(nil, e)
			continue
		}
		next = earlier(next, e.due)
	}
	s := v.session
	if s == nil || s.next.IsZero() || v.tended || v.closed || len(v.entries) == 0 && v.cfg.Token == "" {
		return next
	}
	if s.next.After(now) {
		return earlier(next, s.next)
	}
	v.tended = true
	v.start(nil, func(ctx context.Context) { v.lookAfter(ctx, s) })
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// value is what key has in the secret at path. Where there is neither that nor an
// error, ask again when the flight has ended. That outlives the call, whose ctx says
// only what caused it.
func (v *vault) value(ctx context.Context, now time.Time, path string, key slotKey, keep time.Duration) (Value, <-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed { // it has a successor, or none
		return Value{}, v.ctx.Done(), nil
	}
	e := v.entries[path]
	if e == nil {
		e = &entry{path: path, slots: map[slotKey]*slot{}}
		v.entries[path] = e
	}
	e.used = now
	switch {
	case e.version != 0 && now.Sub(e.read) < v.cfg.Refresh+keep:
		s := v.slot(e, key, now)
		s.used = now
		value, err := s.value(now, keep)
		return value, nil, err
	case e.wait.err != nil:
		return Value{}, nil, e.wait.err
	}
	return Value{}, v.fly(telemetry.TraceFrom(ctx), e), nil
}

// fly has e read, and gives what is closed when it was. v.mu is held.
func (v *vault) fly(cause *telemetry.Trace, e *entry) <-chan struct{} {
	if e.flight == nil {
		e.flight = make(chan struct{})
		v.start(cause, func(ctx context.Context) { v.fetch(ctx, e) })
	}
	return e.flight
}

func (v *vault) fetch(ctx context.Context, e *entry) {
	begun := time.Now()
	got, err := v.read(ctx, e)
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.soon()
	close(e.flight)
	e.flight = nil
	if err != nil {
		v.failed(ctx, e, begun, now, err)
		return
	}
	if e.wait.err != nil {
		v.log.InfoContext(ctx, "a secret can be read again", "path", e.path)
	}
	if e.version != 0 && e.version != got.version {
		v.log.InfoContext(ctx, "a secret has a new version", "path", e.path, "version", got.version)
	}
	e.document, e.read, e.wait = got, now, pause{}
	// Ahead of need, and not all at once.
	e.due = now.Add(v.cfg.Refresh*3/4 + rand.N(v.cfg.Refresh/8))
	v.tally.count(v.judgeAll(e, now))
}

// failed keeps what was read before. v.mu is held.
func (v *vault) failed(ctx context.Context, e *entry, begun, now time.Time, err error) {
	if v.closed {
		return
	}
	v.tally.count(err)
	if e.wait.err == nil || e.wait.err.Error() != err.Error() {
		v.log.ErrorContext(ctx, "a secret cannot be read; what was read before stays in use for a while, if anything", "path", e.path, "error", err.Error())
	}
	e.wait.failed(begun, now, err)
	e.due = e.wait.until
}
