package fetch

import (
	"context"
	"io"
	"maps"
	"net/http"
	"sync"
)

// spool is an upload that can be sent again as long as no more of it was read than
// policy keeps (retry.spool). Each attempt has a reader of its own: it gives what
// is kept, then goes on with the upload itself. One reader at a time reads, and
// what it takes from the upload is kept before anything else happens to it, so that
// no byte is lost to an attempt that ends meanwhile.
type spool struct {
	Upload // what arrives from the caller
	call   *Call

	turn sync.Mutex // held by a Read as long as it lasts; before mu

	mu     sync.Mutex
	reader *spoolReader // the attempt's; those before it get nothing more
	kept   kept
	limit  int64 // of kept
	over   bool  // more was read than is kept
	// promised: another attempt is to come, so kept must suffice for it. A reader
	// that would go beyond waits.
	promised bool
	// settled is closed when no other attempt can come.
	settled chan struct{}
}

var _ Upload = (*spool)(nil)

// newStream begins a call whose body is handed on as it comes. The spool is nil
// where nothing is uploaded.
func (e *Engine) newStream(ctx context.Context, req *Request) (*Call, *spool) {
	up, ok := req.Body.(Upload)
	if !ok {
		return e.newCall(ctx, req, false), nil
	}
	s := &spool{Upload: up, settled: make(chan struct{}), kept: kept{all: &e.spooled}}
	own := *req
	own.Body = s
	s.call = e.newCall(ctx, &own, false)
	return s.call, s
}

// Open gives the next attempt its reader. It waits until the one before is out of
// its Read, which closing ends.
func (s *spool) Open() io.ReadCloser {
	r := &spoolReader{spool: s, closed: make(chan struct{})}
	s.mu.Lock()
	old := s.reader
	s.reader, s.promised = r, false
	s.limit = 0
	if p := s.call.hop.retry; p.MaxAttempts.Default > 1 {
		s.limit = p.Spool
	}
	s.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	r.trailer = maps.Clone(s.Upload.Trailer())
	if r.trailer == nil {
		r.trailer = http.Header{}
	}
	return r
}

// Replayable is true as long as all that was read is kept. It promises that to
// stay so until the next Open.
func (s *spool) Replayable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promised = !s.over
	return s.promised
}

// Trailer is that of the latest attempt: a copy, because an attempt that is about
// to end may still read its own.
func (s *spool) Trailer() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader == nil {
		return s.Upload.Trailer()
	}
	return s.reader.trailer
}

// commit says that the answer was accepted: nothing is sent again, and what is
// kept is needed no longer than until the attempt has read it. On nil it does
// nothing.
func (s *spool) commit() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.promised = true, false
	close(s.settled)
}

// end says that the call is over. On nil it does nothing.
func (s *spool) end() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.reader = true, nil
	s.kept.drop()
}

// spoolReader is the upload in the hands of one attempt.
type spoolReader struct {
	spool   *spool
	trailer http.Header
	at      int
	source  io.ReadCloser // nil until it goes beyond what is kept
	once    sync.Once
	closed  chan struct{}
}

// Close ends a Read that waits for the caller.
func (r *spoolReader) Close() error {
	r.once.Do(func() {
		r.spool.mu.Lock()
		defer r.spool.mu.Unlock()
		close(r.closed)
		if r.source != nil {
			_ = r.source.Close()
		}
	})
	return nil
}

// Read gives the next bytes, kept ones first.
func (r *spoolReader) Read(p []byte) (int, error) {
	s := r.spool
	s.turn.Lock()
	defer s.turn.Unlock()
	n, size, err := r.replay(p)
	if n > 0 || err != nil {
		return n, err
	}
	n, err = r.source.Read(p[:size])
	s.keep(p[:n])
	r.at += n
	if err == io.EOF {
		maps.Copy(r.trailer, s.Upload.Trailer())
	}
	return n, err
}

// replay gives kept bytes, or else how many may be read from the upload.
func (r *spoolReader) replay(p []byte) (n, size int, err error) {
	s := r.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.promised && r.mine() && r.at == s.kept.size && s.full() {
		s.mu.Unlock()
		select {
		case <-r.closed:
		case <-s.settled:
		}
		s.mu.Lock()
	}
	switch {
	case !r.mine():
		return 0, 0, errBroken
	case r.at < s.kept.size:
		n = s.kept.read(p, r.at)
		r.at += n
		return n, 0, nil
	}
	if r.source == nil {
		r.source = s.Upload.Open()
	}
	return 0, s.room(len(p)), nil
}

// mine says that the reader is the latest and open.
func (r *spoolReader) mine() bool {
	select {
	case <-r.closed:
		return false
	default:
		return r.spool.reader == r
	}
}

// full says that nothing more can be kept.
func (s *spool) full() bool { return int64(s.kept.size) >= s.limit }

// room is how many of n bytes may be read from the upload at once: no more than
// can be kept. One more tells an upload that ends there from one that goes on.
func (s *spool) room(n int) int {
	s.over = s.over || s.limit == 0 || s.kept.crowded() && !s.promised
	switch {
	case s.over:
		s.kept.drop() // whoever is here has had it
		return n
	case s.full():
		return min(n, 1)
	}
	return int(min(int64(n), s.limit-int64(s.kept.size)))
}

// keep notes what was read from the upload. The byte beyond the limit is kept
// where another attempt was promised in the same moment.
func (s *spool) keep(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) > 0 && s.full() && !s.promised {
		s.over = true
	}
	if !s.over {
		s.kept.add(p)
	}
}
