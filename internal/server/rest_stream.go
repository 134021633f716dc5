package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// restStreams serves the streaming RPCs over REST. The gateway's own handlers
// would end a torn upload as if it were whole, and a broken stream too.
type restStreams struct {
	client fetchsvcv1.FetchServiceClient
	// refused is told of batches that cannot be read.
	refused refusals
}

// stream is POST /v1/stream: NDJSON both ways, at the same time.
func (s *restStreams) stream(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // HTTP/2 is always
	clock := clockOf(r)
	// net/http ends the request itself when its clock runs out, and does not say why.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(annotate(r)))
	defer cancel(nil)
	defer context.AfterFunc(r.Context(), func() { cancel(clock.verdict()) })()
	stream, err := s.client.Stream(ctx)
	if err != nil {
		writeProblem(w, err)
		return
	}
	read := make(chan bool, 1) // whether the request came to its end
	var whole atomic.Bool      // it did
	go func() {
		if err := sendLines(r.Body, stream, clock.release); err != nil {
			cancel(err) // never a silent half-close: the upload is torn
		}
		_, err := io.CopyN(io.Discard, r.Body, surplus)
		whole.Store(err == io.EOF)
		read <- err == io.EOF
	}()
	out := &lineWriter{w: w, rc: rc, sse: acceptsSSE(r), lasts: whole.Load}
	if r.ProtoMajor > 1 {
		out.lasts = nil // there a stream ends without its connection
	}
	err = copyOut(out, func() (proto.Message, error) { return stream.Recv() })
	cancel(nil) // where the caller is gone, the RPC is not over
	awaitEnd(func() error { _, err := stream.Recv(); return err })
	clock.release()
	ended := endUpload(w, rc, read, err)
	out.finish(err)
	if brokeOff := err != nil && out.started; !ended && !brokeOff && r.ProtoMajor == 1 {
		out.hangUp(out.started && r.ProtoAtLeast(1, 1))
	}
}

const (
	// surplus is how much of an upload that nobody wants any more is read to keep
	// the connection.
	surplus = 256 << 10
	// surplusTime is how long that may take where all is well.
	surplusTime = 500 * time.Millisecond
	// surplusHaste is how long it may keep a failure from the caller.
	surplusHaste = 20 * time.Millisecond
)

// endUpload ends the reading of the request once the RPC is over, and says whether
// it was read to its end. A caller that still sends loses the connection with the
// answer: else net/http would take the rest of this request for the next one.
func endUpload(w http.ResponseWriter, rc *http.ResponseController, read <-chan bool, failed error) (whole bool) {
	most := surplusTime
	if failed != nil {
		most = surplusHaste
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case whole = <-read:
		if !whole {
			closeAfterReply(w)
			_ = rc.SetReadDeadline(time.Now()) // net/http would read on
		}
		return whole
	case <-timer.C:
		closeAfterReply(w)
		_ = rc.SetReadDeadline(time.Now())
		<-read
		return false
	}
}

// closeAfterReply makes net/http close the connection once the answer is out,
// and let the caller read it first. A MaxBytesReader over its limit is the one
// way to say so when the header is out already.
func closeAfterReply(w http.ResponseWriter) {
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}

// batch is POST /v1/fetch:batch: one JSON in, NDJSON out.
func (s *restStreams) batch(w http.ResponseWriter, r *http.Request) {
	var in fetchsvcv1.FetchBatchRequest
	if f := decodeJSON(http.MaxBytesReader(w, r.Body, maxJSON), &in); f != nil {
		s.refused.tell(r.Context(), fetchsvcv1.FetchService_FetchBatch_FullMethodName, f)
		writeProblem(w, f)
		return
	}
	ctx, cancel := context.WithCancel(annotate(r))
	defer cancel()
	stream, err := s.client.FetchBatch(ctx, &in)
	if err != nil {
		writeProblem(w, err)
		return
	}
	out := &lineWriter{w: w, rc: http.NewResponseController(w), sse: acceptsSSE(r)}
	err = copyOut(out, func() (proto.Message, error) { return stream.Recv() })
	cancel()
	awaitEnd(func() error { _, err := stream.Recv(); return err })
	out.finish(err)
}

// awaitEnd waits for a cancelled RPC's handler, so that none outlives the request
// that it serves.
func awaitEnd(recv func() error) {
	for recv() == nil {
	}
}

// copyOut writes messages until the stream ends; nil: it ended well. That is
// io.EOF itself: a failure may well have an upstream's io.EOF for its cause.
func copyOut(out *lineWriter, recv func() (proto.Message, error)) error {
	for {
		m, err := recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.write(m); err != nil {
			return fault.Wrap(fault.Cancelled, err, "the caller went away")
		}
	}
}

// sendLines reads messages and sends them; nil: the caller has sent all. After the
// first it calls begun.
func sendLines(body io.Reader, stream fetchsvcv1.FetchService_StreamClient, begun func()) error {
	limited := &messageLimit{r: body}
	dec := json.NewDecoder(bufio.NewReaderSize(limited, 32<<10))
	for {
		limited.left = maxJSON
		var text json.RawMessage
		if err := dec.Decode(&text); errors.Is(err, io.EOF) {
			return stream.CloseSend()
		} else if err != nil {
			return lineFault(err)
		}
		begun()
		m := &fetchsvcv1.StreamRequest{}
		if err := decodeMessage(text, m); err != nil {
			return err
		}
		if err := stream.Send(m); err != nil {
			return nil // the RPC is over; its end says why
		}
	}
}

func lineFault(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fault.Invalid("body", clip(err.Error(), 200)+`: send one JSON object a line, such as {"start":{"url":"https://example.com/"}}`)
	}
	return fault.Wrap(fault.UploadIncomplete, err, "the request broke off in the middle of a message")
}

// messageLimit bounds one message: a JSON decoder holds a whole one in memory.
type messageLimit struct {
	r    io.Reader
	left int64
}

func (l *messageLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fault.Newf(fault.RequestTooLarge, "one message is over %d bytes of JSON: send the body in more chunks", maxJSON)
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// acceptsSSE says that the caller prefers server-sent events to NDJSON.
func acceptsSSE(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}
