package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// Stream makes one call of any size.
func (s *fetchService) Stream(st fetchsvcv1.FetchService_StreamServer) error {
	in, req, err := openStream(st)
	if err != nil {
		return err
	}
	live, tried, err := s.engine.Open(st.Context(), req)
	if err != nil {
		return &failure{fault: fault.From(err), tried: tried}
	}
	defer live.Close()
	if err := send(st, &fetchsvcv1.StreamResponse{Message: &fetchsvcv1.StreamResponse_Head{Head: headProto(&live.Response)}}); err != nil {
		live.Abandon(err)
		return err
	}
	err = handOn(st, live, in.GetFraming())
	if err != nil {
		live.Abandon(err)
	}
	res := live.End()
	if err != nil {
		f := *fault.From(err)
		f.Message += fmt.Sprintf(" (%d bytes of the body had been handed on)", live.Total())
		return &failure{fault: &f, tried: res}
	}
	end := &fetchsvcv1.FetchResponse{}
	endProto(end, res, live.Total())
	return send(st, &fetchsvcv1.StreamResponse{Message: &fetchsvcv1.StreamResponse_End{End: end}})
}

// openStream reads `start` and makes the engine's request of it.
func openStream(st fetchsvcv1.FetchService_StreamServer) (*fetchsvcv1.FetchRequest, *fetch.Request, error) {
	first, err := st.Recv()
	if err == io.EOF {
		return nil, nil, fault.Invalid("start", "the stream ended before it: send {\"start\":{\"url\":\"https://example.com/\"}} first")
	}
	if err != nil {
		return nil, nil, err
	}
	in := first.GetStart()
	if in == nil {
		return nil, nil, fault.Invalid("start", "it is the first message: send {\"start\":{\"url\":\"https://example.com/\"}} before chunks and end")
	}
	b := &builder{stream: true}
	announced := b.announced(in)
	req, err := b.request(in, callerOf(st.Context()))
	if err != nil {
		return nil, nil, err
	}
	if body := in.GetStream(); body != nil {
		up := newUpload(st.Context(), body, announced, st.Recv)
		if up.size == 0 {
			if err := up.empty(); err != nil {
				return nil, nil, err
			}
		}
		req.Body = up
		if in.GetExpectContinue() {
			req.Header["Expect"] = []string{"100-continue"}
		}
	}
	return in, req, nil
}

// handOn passes the body on in the framing that was asked for. Each send waits
// for the caller, and the next read for the send: that is the back-pressure, all
// the way to the upstream's socket.
func handOn(st fetchsvcv1.FetchService_StreamServer, live *fetch.Live, framing fetchsvcv1.Framing_Mode) error {
	switch framing {
	case fetchsvcv1.Framing_LINES:
		return handOnLines(st, live)
	case fetchsvcv1.Framing_SSE:
		return handOnEvents(st, live)
	default:
		return handOnBytes(st, live)
	}
}

// chunkSize keeps a marshalled message within 32 KiB, a tier of grpc-go's buffer
// pool: one byte more takes a buffer of 1 MiB, and clearing that is most of the
// work.
const chunkSize = 32<<10 - 64

func handOnBytes(st fetchsvcv1.FetchService_StreamServer, live *fetch.Live) error {
	// Two buffers in turn: the REST door may still write one while the next is
	// filled, and takes the next only when it is done.
	var buffers [2][chunkSize]byte
	for i := 0; ; i ^= 1 {
		n, err := live.Read(buffers[i][:])
		if n > 0 {
			chunk := &fetchsvcv1.StreamResponse{Message: &fetchsvcv1.StreamResponse_Chunk{Chunk: buffers[i][:n]}}
			if err := send(st, chunk); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// maxUnit bounds one line or event.
const maxUnit = 1 << 20

func handOnLines(st fetchsvcv1.FetchService_StreamServer, live *fetch.Live) error {
	lines := content.NewLines(live, maxUnit)
	for {
		text, err := lines.Next()
		if err != nil {
			return ended(live, err)
		}
		line := &fetchsvcv1.Line{Content: &fetchsvcv1.Line_Text{Text: string(text)}}
		if !utf8.Valid(text) {
			line.Content = &fetchsvcv1.Line_Raw{Raw: append([]byte(nil), text...)}
		}
		if err := send(st, &fetchsvcv1.StreamResponse{Message: &fetchsvcv1.StreamResponse_Line{Line: line}}); err != nil {
			return err
		}
	}
}

func handOnEvents(st fetchsvcv1.FetchService_StreamServer, live *fetch.Live) error {
	events := content.NewEvents(live, maxUnit)
	id := ""
	for {
		e, err := events.Next()
		if err != nil {
			return ended(live, err)
		}
		event := &fetchsvcv1.Event{Event: e.Type, Data: e.Data}
		if e.ID != id { // told once: an upstream could make much of little with it
			id = e.ID
			event.Id = &e.ID
		}
		if e.HasRetry {
			event.Retry = &e.Retry
		}
		if err := send(st, &fetchsvcv1.StreamResponse{Message: &fetchsvcv1.StreamResponse_Event{Event: event}}); err != nil {
			return err
		}
	}
}

// ended tells the good end from a failure, and notes a failure of the framing in
// the ledger.
func ended(live *fetch.Live, err error) error {
	if err == io.EOF {
		return nil
	}
	return live.Fail(err)
}

// send hands one message on; a caller that is gone cancelled the call.
func send(st fetchsvcv1.FetchService_StreamServer, m *fetchsvcv1.StreamResponse) error {
	err := st.Send(m)
	if err == nil {
		return nil
	}
	var known *fault.Error
	switch {
	case errors.As(err, &known): // the REST door found fault with the upload
		return known
	case errors.Is(st.Context().Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.TotalTimeout, err, "the caller's deadline passed")
	}
	return fault.Wrap(fault.Cancelled, err, "the caller went away")
}
