package content

import "io"

// Reader scrubs what r gives.
func (s *Scrubber) Reader(r io.Reader) *ScrubReader { return &ScrubReader{r: r, s: s} }

// ScrubReader scrubs a stream. It finds what is split over any number of reads, and
// holds back no more than what may be the beginning of a find, so that events and
// lines go on at once.
type ScrubReader struct {
	r     io.Reader
	s     *Scrubber
	found int

	buf     []byte // read and not handed on
	settled int    // of it can be handed on
	looked  int    // of it was looked through
	spans   []span // found in it
	blanked int    // of it belongs to finds that were counted
	err     error  // behind buf
}

// scrubChunk is how much is read at once.
const scrubChunk = 16 << 10

// Read gives as many bytes as the stream has, errors behind them.
func (r *ScrubReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.settled == 0 {
		if r.err != nil && len(r.buf) == 0 {
			return 0, r.err
		}
		r.more(max(len(p), 512))
	}
	n := copy(p, r.buf[:r.settled])
	r.drop(n)
	if len(r.buf) == 0 && r.err != nil {
		return n, r.err
	}
	return n, nil
}

// more reads up to most bytes and looks through them.
func (r *ScrubReader) more(most int) {
	if r.err == nil {
		at := len(r.buf)
		r.buf = append(r.buf, make([]byte, min(most, scrubChunk))...)
		n, err := r.r.Read(r.buf[at:])
		r.buf, r.err = r.buf[:at+n], err
	}
	if r.s == nil {
		r.looked, r.settled = len(r.buf), len(r.buf)
	} else {
		r.look()
	}
	for i, s := range r.spans {
		blank(r.buf[s.from:min(s.to, r.settled)])
		r.spans[i].from = min(s.to, r.settled)
	}
}

// look finds what is new in buf. What may be the beginning of a find stays as it
// is: blanked, it would not be found.
func (r *ScrubReader) look() {
	found, settled := r.s.find(r.buf, r.err != nil)
	finds(found) // sorts them
	for _, f := range found {
		if f.to <= r.looked {
			continue // known
		}
		if f.from >= r.blanked {
			r.found++
		}
		r.blanked = max(r.blanked, f.to)
		r.spans = append(r.spans, f)
	}
	if r.err != nil && r.err != io.EOF {
		r.cutEnd()
	}
	r.looked, r.settled = len(r.buf), settled
}

// cutEnd takes what may be the beginning of a find for one, where the stream broke
// off.
func (r *ScrubReader) cutEnd() {
	_, settled := r.s.find(r.buf, false)
	if len(r.buf)-settled < LeastScrubbed {
		return
	}
	if settled >= r.blanked {
		r.found++
	}
	r.spans = append(r.spans, span{settled, len(r.buf)})
}

// drop forgets the first n bytes of buf.
func (r *ScrubReader) drop(n int) {
	r.buf = r.buf[:copy(r.buf, r.buf[n:])]
	r.settled, r.looked, r.blanked = r.settled-n, r.looked-n, max(r.blanked-n, 0)
	kept := r.spans[:0]
	for _, s := range r.spans {
		if s = (span{max(s.from-n, 0), s.to - n}); s.to > s.from {
			kept = append(kept, s)
		}
	}
	r.spans = kept
}

// Found is how many texts were replaced so far.
func (r *ScrubReader) Found() int { return r.found }

// Use scrubs by s from now on; nil: nothing is looked for.
func (r *ScrubReader) Use(s *Scrubber) { r.s = s }
