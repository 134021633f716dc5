package identity

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

const (
	// usualLife is how long keys are good whose server does not say, leastLife and
	// mostLife bound what it may say.
	usualLife = 15 * time.Minute
	leastLife = time.Minute
	mostLife  = time.Hour
	// staleLife is how long keys are used that cannot be fetched again.
	staleLife = 24 * time.Hour
	// fetchEvery is the least time between two fetches of one issuer's keys, and
	// firstEvery that while there are none.
	fetchEvery = 30 * time.Second
	firstEvery = 5 * time.Second
	// fetchTime is how long one may take.
	fetchTime = 10 * time.Second
)

// sources hold the keys of issuers. They outlive snapshots.
type sources struct {
	cfg  Config
	ctx  context.Context // of all fetches
	stop context.CancelFunc

	mu      sync.Mutex
	closed  bool
	known   map[string]*source
	fetches sync.WaitGroup
}

// issuer is one of a snapshot, with where its keys are.
type issuer struct {
	*policy.Issuer
	keys *source
}

// source is the keys of one issuer.
type source struct {
	all *sources

	mu     sync.Mutex
	issuer *policy.Issuer
	keys   []key
	// version counts the sets of keys, sum is the last one's digest.
	version uint64
	sum     digest
	// got is when the keys came, due when they should be fetched anew, and expires
	// when they must.
	got, due, expires time.Time
	// tried is when the last fetch began, and failed why it gave nothing.
	tried  time.Time
	failed error
	// flight is closed when the fetch that is under way ends; nil: none is.
	flight chan struct{}
}

func newSources(cfg Config) *sources {
	ctx, stop := context.WithCancel(context.Background())
	return &sources{cfg: cfg, ctx: ctx, stop: stop, known: map[string]*source{}}
}

// use gives the issuers of a snapshot, by `iss`, and forgets all others.
func (s *sources) use(issuers []*policy.Issuer) map[string]*issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, out := map[string]*source{}, map[string]*issuer{}
	for _, in := range issuers {
		id := in.Name + " " + in.JWKS.String()
		src := s.known[id]
		if src == nil {
			src = &source{all: s}
		}
		src.mu.Lock()
		src.issuer = in
		src.mu.Unlock()
		known[id], out[in.ID] = src, &issuer{in, src}
	}
	s.known = known
	return out
}

func (s *sources) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.fetches.Wait()
}

// begin counts a fetch in, unless all is over.
func (s *sources) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.fetches.Add(1)
	return true
}

// get gives the keys and the number of their set. They are fetched behind the scenes
// before they expire; after that callers wait for it. Keys that cannot be fetched
// again stay good for a day.
func (s *source) get(ctx context.Context, now time.Time) ([]key, uint64, error) {
	s.mu.Lock()
	var wait chan struct{}
	switch {
	case !s.usable(now):
		wait = s.fetch(ctx, now, firstEvery)
	case now.Before(s.due):
	default:
		wait = s.fetch(ctx, now, fetchEvery)
		if now.Before(s.expires) || s.failed != nil {
			wait = nil
		}
	}
	s.mu.Unlock()
	return s.after(ctx, wait)
}

// refresh is get after keys turned out to be missing: they are fetched now, unless
// they were just.
func (s *source) refresh(ctx context.Context, now time.Time) ([]key, uint64, error) {
	s.mu.Lock()
	wait := s.fetch(ctx, now, fetchEvery)
	s.mu.Unlock()
	return s.after(ctx, wait)
}

// after waits for a fetch, if there is one, and gives what there is then.
func (s *source) after(ctx context.Context, wait chan struct{}) ([]key, uint64, error) {
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, 0, fault.Wrap(fault.Cancelled, context.Cause(ctx), "the call ended before the keys of its token's issuer were there")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.usable(time.Now()) {
		f := fault.Wrap(fault.Overloaded, s.failed, "the keys of issuer \""+s.issuer.Name+"\" cannot be fetched, so its tokens cannot be judged; the log says why")
		f.SafeToRetry, f.RetryAfter = true, firstEvery
		return nil, 0, f
	}
	return s.keys, s.version, nil
}

func (s *source) usable(now time.Time) bool {
	return len(s.keys) > 0 && now.Sub(s.got) < staleLife
}

// fetch gives the fetch that is under way, or begins one, unless the last began less
// than least ago; nil: there is none. It outlives the call, whose ctx says only what
// caused it. The lock is held.
func (s *source) fetch(ctx context.Context, now time.Time, least time.Duration) chan struct{} {
	if s.flight != nil || !s.tried.IsZero() && now.Sub(s.tried) < least || s.all.cfg.Fetcher == nil || !s.all.begin() {
		return s.flight
	}
	s.tried, s.flight = now, make(chan struct{})
	own, _ := telemetry.Detached(s.all.ctx, telemetry.TraceFrom(ctx))
	go s.fly(own, s.issuer, s.flight)
	return s.flight
}

// fly fetches the keys. It belongs to no call: others wait for it too.
func (s *source) fly(ctx context.Context, from *policy.Issuer, done chan struct{}) {
	defer s.all.fetches.Done()
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, maxAge, err := s.all.cfg.Fetcher.Get(ctx, from)
	var keys []key
	if err == nil {
		keys, err = parseJWKS(body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(done)
	s.flight = nil
	s.say(ctx, from, err)
	s.failed = err
	if err != nil {
		return
	}
	if sum := sha256.Sum256(body); sum != s.sum {
		s.keys, s.sum, s.version = keys, sum, s.version+1
	}
	life := usualLife
	if maxAge > 0 {
		life = min(max(maxAge, leastLife), mostLife)
	}
	s.got = time.Now()
	s.due, s.expires = s.got.Add(life*4/5), s.got.Add(life)
}

// say logs that keys cannot be fetched, or can be again, once.
func (s *source) say(ctx context.Context, from *policy.Issuer, err error) {
	switch log := s.all.cfg.Log; {
	case err != nil && (s.failed == nil || s.failed.Error() != err.Error()):
		log.ErrorContext(ctx, "the keys of an issuer cannot be fetched; the last ones are used for a day", "issuer", from.Name, "error", err.Error())
	case err == nil && s.failed != nil:
		log.InfoContext(ctx, "the keys of an issuer can be fetched again", "issuer", from.Name)
	}
}
