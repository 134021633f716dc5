package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// upload is a request body that arrives as a Stream's chunks. Chunks go on as
// they come: nothing is buffered but one message and the rest of another.
type upload struct {
	ctx      context.Context // the RPC's
	recv     func() (*fetchsvcv1.StreamRequest, error)
	pumping  bool
	messages chan received

	size    int64 // as announced; -1: not
	trailer http.Header

	mu      sync.Mutex
	reader  *uploadReader // who may read
	started bool

	unannounced bool
	rest        []byte
	last        []byte // of a body whose length was announced; it waits for `end`
	got         int64
	end         error
}

// received is what recv gave.
type received struct {
	message *fetchsvcv1.StreamRequest
	err     error
}

var _ fetch.Upload = (*upload)(nil)

// newUpload reads chunks from recv until ctx, the RPC's, ends. announce lists
// the trailers' names.
func newUpload(ctx context.Context, body *fetchsvcv1.StreamBody, announce []string, recv func() (*fetchsvcv1.StreamRequest, error)) *upload {
	u := &upload{ctx: ctx, recv: recv, messages: make(chan received), size: -1, trailer: http.Header{}}
	if body.ContentLength != nil {
		u.size = body.GetContentLength()
	}
	for _, name := range announce {
		u.trailer[name] = nil
	}
	return u
}

// Open gives the one reader.
func (u *upload) Open() io.ReadCloser {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reader = &uploadReader{u: u, closed: make(chan struct{})}
	return u.reader
}

// Replayable is true as long as nothing was read. Then whoever opened the body
// before gets nothing of it any more: a transport that was answered early may be
// just about to read.
func (u *upload) Replayable() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.started {
		u.reader = nil
	}
	return !u.started
}

// uploadReader is the body in the hands of one try.
type uploadReader struct {
	u      *upload
	once   sync.Once
	closed chan struct{}
}

// Close ends a Read that waits for the caller.
func (r *uploadReader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

var (
	errTaken  = errors.New("the upload goes to another attempt")
	errClosed = errors.New("the upload is closed")
)

// Read gives the next bytes, io.EOF only after `end`.
func (r *uploadReader) Read(p []byte) (int, error) {
	r.u.mu.Lock()
	mine := r.u.reader == r
	r.u.started = r.u.started || mine
	r.u.mu.Unlock()
	if !mine {
		return 0, errTaken
	}
	return r.u.read(p, r.closed)
}

// empty waits for `end` where no byte may come before it: the head alone makes
// such a request whole, so it may not go out sooner.
func (u *upload) empty() error {
	if _, err := u.read(make([]byte, 1), nil); err != io.EOF {
		return err
	}
	return nil
}

// Size is the announced length.
func (u *upload) Size() int64 { return u.size }

// Trailer is complete when Read has given io.EOF.
func (u *upload) Trailer() http.Header { return u.trailer }

// Unannounced says that trailers came whose names `start` did not list.
func (u *upload) Unannounced() bool { return u.unannounced }

func (u *upload) read(p []byte, closed <-chan struct{}) (int, error) {
	if !u.pumping {
		u.pumping = true
		go u.pump()
	}
	for len(u.rest) == 0 && u.end == nil {
		select {
		case got := <-u.messages:
			u.rest, u.end = u.take(got.message, got.err)
		case <-closed:
			return 0, errClosed
		case <-u.ctx.Done():
			u.end = asFailure(context.Cause(u.ctx)).fault
		}
	}
	if len(u.rest) == 0 {
		return 0, u.end
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// pump receives ahead of the reader, one message at most. A Recv lasts as long
// as the RPC where the caller is silent; a try must be able to end before. It
// ends with the RPC.
func (u *upload) pump() {
	for {
		in, err := u.receive()
		select {
		case u.messages <- received{in, err}:
		case <-u.ctx.Done():
			return
		}
		if err != nil || in.GetEnd() != nil {
			return
		}
	}
}

// receive keeps a panic from ending the process: nothing else is above it here.
func (u *upload) receive() (in *fetchsvcv1.StreamRequest, err error) {
	defer func() {
		if p := recover(); p != nil {
			in, err = nil, fault.From(fmt.Errorf("panic while receiving: %v", p))
		}
	}()
	return u.recv()
}

// take reads one message.
func (u *upload) take(in *fetchsvcv1.StreamRequest, err error) ([]byte, error) {
	if err == io.EOF {
		return nil, fault.New(fault.UploadIncomplete,
			"the caller closed its side without `end`, so the upload may be torn: send {\"end\":{}} after the last chunk")
	}
	if err != nil {
		return nil, asFailure(err).fault
	}
	switch m := in.GetMessage().(type) {
	case *fetchsvcv1.StreamRequest_Chunk:
		u.got += int64(len(m.Chunk))
		if u.size >= 0 && u.got > u.size {
			return nil, fault.Newf(fault.UploadTooLong, "%d bytes came and content_length said %d: send no more, or leave content_length out", u.got, u.size)
		}
		if n := len(m.Chunk); u.got == u.size && n > 0 {
			// The upstream counts too: with this byte the body would look whole to
			// it, and one that lacks `end` or goes on must not.
			u.last = m.Chunk[n-1:]
			return m.Chunk[:n-1], nil
		}
		return m.Chunk, nil
	case *fetchsvcv1.StreamRequest_End:
		if err := u.finish(m.End); err != io.EOF {
			return nil, err
		}
		return u.last, io.EOF
	default:
		return nil, fault.Invalid("start", "it came twice: after it come chunks and one end")
	}
}

// finish takes `end`; io.EOF means that all is well.
func (u *upload) finish(end *fetchsvcv1.StreamRequestEnd) error {
	if u.got < u.size {
		return fault.Newf(fault.UploadIncomplete, "%d bytes came and content_length said %d: send the rest, or leave content_length out", u.got, u.size)
	}
	if len(end.GetTrailers()) == 0 {
		return io.EOF
	}
	if u.size >= 0 {
		return fault.Invalid("end.trailers", "trailers need a body without content_length: leave it out of `start`")
	}
	b := builder{stream: true}
	for name, values := range b.headers(end.GetTrailers()) {
		if _, announced := u.trailer[name]; !announced {
			u.unannounced = true
		}
		u.trailer[name] = values
	}
	if len(b.problems) > 0 {
		for i := range b.problems {
			b.problems[i].Field = "end." + strings.Replace(b.problems[i].Field, "headers", "trailers", 1)
		}
		return fault.InvalidAll(b.problems)
	}
	return io.EOF
}

// announced takes the names of trailers out of the Trailer header of `start`,
// which is the announcement that HTTP/2 needs.
func (b *builder) announced(in *fetchsvcv1.FetchRequest) []string {
	var names []string
	for i, f := range in.GetHeaders() {
		if !strings.EqualFold(f.GetName(), "Trailer") {
			continue
		}
		if in.GetStream() == nil {
			b.fail(indexed("headers", i, "name"), "trailers need the body `stream`: leave Trailer out")
		}
		for name := range strings.SplitSeq(f.GetValue(), ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if _, refused := connectionHeaders[name]; refused || !httpguts.ValidHeaderFieldName(name) {
				b.fail(indexed("headers", i, "value"), fmt.Sprintf("%s cannot be a trailer", quoteName(name)))
				continue
			}
			names = append(names, name)
		}
	}
	return names
}
