package fetch

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// scrub is what a call looks for in its answers: what credentials put into its
// requests so far, over all hops.
type scrub struct {
	values []string
	by     *content.Scrubber    // nil: nothing is looked for
	stream *content.ScrubReader // before a body that is handed on as it comes
}

// confide notes what a request has in it.
func (c *Call) confide(h *hop, values []secret.Value) {
	if h.upstream.Scrub == policy.ScrubOff {
		return
	}
	s := &c.scrub
	news := false
	for _, v := range values {
		if text := v.Reveal(); !slices.Contains(s.values, text) {
			s.values, news = append(s.values, text), true
		}
	}
	if !news {
		return
	}
	s.by = c.engine.scrubbers.get(s.values)
	if s.stream != nil {
		s.stream.Use(s.by)
	}
}

// scrubs says that the hop's answer is looked through.
func (c *Call) scrubs() bool { return c.scrub.by != nil && c.hop.upstream.Scrub != policy.ScrubOff }

// scrubbed gives res without secrets in its head, or refuses it: as an answer, of
// which the ledger keeps the status.
func (t *Try) scrubbed(res *http.Response) (*http.Response, error) {
	if err := t.scrubHead(res); err != nil {
		t.answered(res)
		_ = t.read.body.Close()
		return nil, err
	}
	return res, nil
}

// scrubHead takes what the credential put into the request out of the answer's
// head, before anything else reads that.
func (t *Try) scrubHead(res *http.Response) error {
	if !t.call.scrubs() {
		return nil
	}
	found := t.call.scrubFields(res.Header)
	var n int
	res.Status, n = t.call.scrub.by.Text(res.Status)
	return t.call.echoed(t.entry, found+n, "head")
}

// scrubFields scrubs h, whose slices are the answer's own.
func (c *Call) scrubFields(h http.Header) (found int) {
	for name, values := range h {
		if clean, n := c.scrub.name(name); n > 0 {
			delete(h, name)
			h[clean] = append(h[clean], values...)
			found += n
		}
		for i, v := range values {
			clean, n := c.scrub.by.Text(v)
			if n > 0 {
				values[i], found = clean, found+n
			}
		}
	}
	return found
}

// name scrubs a header's name, in which the case of letters is nobody's: upstreams
// that list what they got may have put a header's value there.
func (s *scrub) name(name string) (clean string, found int) {
	for _, v := range s.values {
		v = strings.Trim(v, " \t")
		if len(v) < content.LeastScrubbed {
			continue
		}
		for at := 0; at+len(v) <= len(name); at++ {
			if strings.EqualFold(name[at:at+len(v)], v) {
				name = name[:at] + strings.Repeat("*", len(v)) + name[at+len(v):]
				at, found = at+len(v)-1, found+1
			}
		}
	}
	return name, found
}

// scrubWhole does the same for an answer that was read whole and decoded.
func (c *Call) scrubWhole(out *Response) error {
	if !c.scrubs() {
		return nil
	}
	look := c.scrub.by.Bytes
	if out.Truncated {
		look = c.scrub.by.CutBytes
	}
	found := look(out.Body) + c.scrubFields(out.Trailer)
	return c.echoed(c.tries.attempts[len(c.tries.attempts)-1], found, "body")
}

// echoed writes down that the answer's part had secrets in it, and refuses it where
// policy says so.
func (c *Call) echoed(a *Attempt, found int, part string) error {
	if found == 0 {
		return nil
	}
	a.Scrubbed += found
	if c.hop.upstream.Scrub != policy.ScrubRefuse {
		return nil
	}
	return fault.Newf(fault.SecretEchoed, "the answer's %s has in it what credential %q put into the request, and policy refuses such answers (scrub: refuse)", part, c.lastCredential())
}

// lastCredential is the one that a request carried last: the hop may have none.
func (c *Call) lastCredential() (name string) {
	for _, a := range c.tries.attempts {
		name = cmp.Or(a.Credential, name)
	}
	return name
}

// scrubbedBody is a decoded body without secrets.
type scrubbedBody struct {
	io.Closer
	live *Live
	*content.ScrubReader
	seen int // of what was found
}

// scrubStream puts the scrubber before the decoded body.
func (l *Live) scrubStream() {
	c := l.call
	maySign := c.hop.chain.proofs != nil && c.hop.upstream.Scrub != policy.ScrubOff // where a resumption does
	if !c.scrubs() && !maySign {
		return
	}
	c.scrub.stream = c.scrub.by.Reader(l.body)
	l.body = &scrubbedBody{Closer: l.body, live: l, ScrubReader: c.scrub.stream}
}

func (b *scrubbedBody) Read(p []byte) (int, error) {
	n, err := b.ScrubReader.Read(p)
	if more := b.Found() - b.seen; more > 0 {
		b.seen += more
		if refused := b.live.call.echoed(b.live.try.entry, more, "body"); refused != nil {
			return 0, refused
		}
	}
	return n, err
}

// mostScrubbers bounds how many are kept.
const mostScrubbers = 1024

// scrubbers keeps those that were made: calls with the same secrets share one.
type scrubbers struct {
	mu   sync.Mutex
	made map[string]*content.Scrubber
}

func (s *scrubbers) get(values []string) *content.Scrubber {
	key := strings.Join(values, "\x00")
	s.mu.Lock()
	made, ok := s.made[key]
	s.mu.Unlock()
	if ok {
		return made
	}
	made = content.NewScrubber(values) // perhaps twice; others need not wait for it
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil || len(s.made) >= mostScrubbers {
		s.made = map[string]*content.Scrubber{} // tokens come and go
	}
	s.made[key] = made
	return made
}
