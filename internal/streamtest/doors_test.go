package streamtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// stream is one Stream as a caller has it, whichever door it goes through. send
// and closeSend belong to one goroutine, recv to one.
type stream interface {
	// send hands one message over; its error says only that the stream is over.
	send(m *fetchsvcv1.StreamRequest) error
	// closeSend ends the caller's side, whole or not.
	closeSend()
	// recv gives the next message; io.EOF at the good end, else the failure.
	recv() (*fetchsvcv1.StreamResponse, error)
	// cancel hangs up.
	cancel()
	// close frees what the client holds, after the last recv.
	close()
}

// door opens a Stream.
type door struct {
	name string
	open func(t testing.TB, w *world) stream
}

// doors are all ways to stream.
func doors() []door {
	return []door{
		{"gRPC", openGRPC},
		{"REST", func(t testing.TB, w *world) stream { return openREST(t, w, "application/x-ndjson") }},
		{"SSE", func(t testing.TB, w *world) stream { return openREST(t, w, "text/event-stream") }},
	}
}

// overGRPC is a stream of the generated client.
type overGRPC struct {
	st   fetchsvcv1.FetchService_StreamClient
	stop context.CancelFunc
}

func openGRPC(t testing.TB, w *world) stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	st, err := w.api.Stream(ctx)
	if err != nil {
		cancel()
		t.Fatalf("Stream: %v", err)
	}
	return &overGRPC{st, cancel}
}

func (s *overGRPC) send(m *fetchsvcv1.StreamRequest) error { return s.st.Send(m) }
func (s *overGRPC) closeSend()                             { _ = s.st.CloseSend() }
func (s *overGRPC) cancel()                                { s.stop() }
func (s *overGRPC) close()                                 { s.stop() }

func (s *overGRPC) recv() (*fetchsvcv1.StreamResponse, error) {
	m, err := s.st.Recv()
	if err != nil && err != io.EOF {
		return nil, ofStatus(err)
	}
	return m, err
}

// overREST is a POST of net/http whose body is written while its answer is read.
type overREST struct {
	up   *io.PipeWriter
	stop context.CancelFunc
	sse  bool

	answered chan struct{} // closed when res or err is there
	res      *http.Response
	err      error
	lines    *bufio.Reader
	broken   error // the failure that a last line told
}

func openREST(t testing.TB, w *world, accept string) stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	body, up := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.rest+"/v1/stream", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Content-Type", "application/x-ndjson")
	s := &overREST{up: up, stop: cancel, sse: accept == "text/event-stream", answered: make(chan struct{})}
	go func() {
		defer close(s.answered)
		s.res, s.err = w.web.Do(r)
	}()
	return s
}

func (s *overREST) send(m *fetchsvcv1.StreamRequest) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	return s.sendText(string(text) + "\n")
}

// sendText writes what need not be JSON.
func (s *overREST) sendText(text string) error {
	_, err := io.WriteString(s.up, text)
	return err
}

func (s *overREST) closeSend() { _ = s.up.Close() }

// cancel ends the body too: net/http waits for it.
func (s *overREST) cancel() {
	s.stop()
	_ = s.up.CloseWithError(context.Canceled)
}

func (s *overREST) close() {
	s.cancel()
	<-s.answered
	if s.res != nil {
		_ = s.res.Body.Close()
	}
}

func (s *overREST) recv() (*fetchsvcv1.StreamResponse, error) {
	<-s.answered
	if s.err != nil {
		return nil, fmt.Errorf("the POST failed without an answer: %w", s.err)
	}
	if s.res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(s.res.Body)
		if err != nil {
			return nil, fmt.Errorf("the problem broke off: %w", err)
		}
		return nil, ofProblem(s.res, text)
	}
	if s.lines == nil {
		want := "application/x-ndjson"
		if s.sse {
			want = "text/event-stream"
		}
		if got := s.res.Header.Get("Content-Type"); got != want {
			text, err := io.ReadAll(s.res.Body)
			return nil, fmt.Errorf("Content-Type is %q, want %q, of %d bytes %.200q, %w %v", got, want, len(text), text, err, s.res)
		}
		s.lines = bufio.NewReaderSize(s.res.Body, 64<<10)
	}
	return s.message()
}

// message reads a line, or an event with one line of data.
func (s *overREST) message() (*fetchsvcv1.StreamResponse, error) {
	name, data, err := readUnit(s.lines, s.sse)
	switch {
	case err == io.EOF && s.broken == nil:
		return nil, io.EOF
	case err != nil && s.broken != nil:
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("behind the line `error` the body ends with %v, want unexpected EOF", err)
		}
		return nil, s.broken
	case err != nil:
		return nil, fmt.Errorf("the body broke off without a line `error`: %w", err)
	case s.broken != nil:
		return nil, fmt.Errorf("behind the line `error` comes %.100q", data)
	}
	if text, ok := bytes.CutPrefix(data, []byte(`{"error":`)); ok {
		if s.sse && name != "error" {
			return nil, fmt.Errorf("the event of an error is called %q", name)
		}
		s.broken = ofLine(bytes.TrimSuffix(text, []byte("}")))
		return s.message()
	}
	m := &fetchsvcv1.StreamResponse{}
	if err := protojson.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("a line is no StreamResponse: %w: %.200q", err, data)
	}
	if s.sse && !strings.HasPrefix(string(data), `{"`+name+`"`) {
		return nil, fmt.Errorf("the event of %.50q is called %q", data, name)
	}
	return m, nil
}

// readUnit reads one NDJSON line, or one event and its name.
func readUnit(r *bufio.Reader, sse bool) (name string, data []byte, err error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && len(line) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF // a line without its end
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case err != nil:
			return "", nil, err
		case !sse:
			return "", line, nil
		case len(line) == 0:
			return name, data, nil
		}
		if v, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			name = string(v)
		} else if v, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			data = v
		} else {
			return "", nil, fmt.Errorf("an event has the line %.100q", line)
		}
	}
}

// chunk, end and start are the messages of a caller.
func chunk(s string) *fetchsvcv1.StreamRequest {
	return &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Chunk{Chunk: []byte(s)}}
}

func end(trailers ...string) *fetchsvcv1.StreamRequest {
	e := &fetchsvcv1.StreamRequestEnd{}
	for _, line := range trailers {
		name, value, _ := strings.Cut(line, ": ")
		e.Trailers = append(e.Trailers, &fetchsvcv1.Field{Name: name, Value: value})
	}
	return &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_End{End: e}}
}

func start(in *fetchsvcv1.FetchRequest) *fetchsvcv1.StreamRequest {
	return &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: proto.CloneOf(in)}}
}
