package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// upload is a request body that arrives as a Stream's chunks. Chunks go on as
// they come: nothing is buffered but the rest of one message.
type upload struct {
	recv    func() (*fetchsvcv1.StreamRequest, error)
	size    int64 // as announced; -1: not
	trailer http.Header

	started     atomic.Bool
	unannounced bool
	rest        []byte
	got         int64
	end         error
}

var _ fetch.Upload = (*upload)(nil)

// newUpload reads chunks from recv. announce lists the trailers' names.
func newUpload(body *fetchsvcv1.StreamBody, announce []string, recv func() (*fetchsvcv1.StreamRequest, error)) *upload {
	u := &upload{recv: recv, size: -1, trailer: http.Header{}}
	if body.ContentLength != nil {
		u.size = body.GetContentLength()
	}
	for _, name := range announce {
		u.trailer[name] = nil
	}
	return u
}

// Open gives the one reader.
func (u *upload) Open() io.ReadCloser { return u }

// Replayable is true as long as nothing was read.
func (u *upload) Replayable() bool { return !u.started.Load() }

// Size is the announced length.
func (u *upload) Size() int64 { return u.size }

// Trailer is complete when Read has given io.EOF.
func (u *upload) Trailer() http.Header { return u.trailer }

// Unannounced says that trailers came whose names `start` did not list.
func (u *upload) Unannounced() bool { return u.unannounced }

// Close does nothing: a reader that waits for the caller ends with the RPC.
func (u *upload) Close() error { return nil }

// Read gives the next bytes, io.EOF only after `end`.
func (u *upload) Read(p []byte) (int, error) {
	u.started.Store(true)
	for len(u.rest) == 0 && u.end == nil {
		u.rest, u.end = u.next()
	}
	if len(u.rest) == 0 {
		return 0, u.end
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// next takes one message.
func (u *upload) next() ([]byte, error) {
	in, err := u.recv()
	if errors.Is(err, io.EOF) {
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
		return m.Chunk, nil
	case *fetchsvcv1.StreamRequest_End:
		return nil, u.finish(m.End)
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
			if _, refused := connectionHeaders[name]; refused || name == "" {
				b.fail(indexed("headers", i, "value"), fmt.Sprintf("%s cannot be a trailer", quote(name)))
				continue
			}
			names = append(names, name)
		}
	}
	return names
}
