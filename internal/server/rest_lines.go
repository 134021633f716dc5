package server

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// lineWriter writes a stream's messages as NDJSON, or as server-sent events with
// the same JSON, and flushes each: nothing waits for the next.
type lineWriter struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	sse     bool
	started bool
	buf     []byte
	// lasts says whether the connection outlives the answer, so far as is known
	// when the answer begins; nil: it does.
	lasts func() bool
}

var lineJSON = protojson.MarshalOptions{UseProtoNames: true}

func (l *lineWriter) write(m proto.Message) error {
	text, err := lineJSON.MarshalAppend(l.begin(m), m)
	if err != nil {
		return err
	}
	return l.flush(text)
}

// begin gives the buffer with what stands before a message's JSON.
func (l *lineWriter) begin(m proto.Message) []byte {
	l.buf = l.buf[:0]
	if l.sse {
		l.buf = append(l.buf, "event: "+eventName(m)+"\ndata: "...)
	}
	return l.buf
}

// eventName is the member that is set of a message that is all oneof, such as
// `head`.
func eventName(m proto.Message) string {
	if m == nil {
		return "error"
	}
	r := m.ProtoReflect()
	if oneofs := r.Descriptor().Oneofs(); oneofs.Len() > 0 {
		if fd := r.WhichOneof(oneofs.Get(0)); fd != nil {
			return string(fd.Name())
		}
	}
	return string(protoreflect.FullName(r.Descriptor().FullName()).Name())
}

func (l *lineWriter) flush(text []byte) error {
	if !l.started {
		l.started = true
		contentType := "application/x-ndjson"
		if l.sse {
			contentType = "text/event-stream"
		}
		h := l.w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if l.lasts != nil && !l.lasts() {
			h.Set("Connection", "close") // else the caller could send its next request into the closing
		}
	}
	text = append(text, '\n')
	if l.sse {
		text = append(text, '\n')
	}
	l.buf = text
	if _, err := l.w.Write(text); err != nil {
		return err
	}
	return l.rc.Flush()
}

// finish ends the response. A failure after the first message is a last line and
// then a broken connection: whoever reads no line still cannot take it for whole.
func (l *lineWriter) finish(err error) {
	if err == nil {
		return
	}
	if !l.started {
		writeProblem(l.w, err)
		return
	}
	if line, jsonErr := json.Marshal(map[string]problem{"error": newProblem(asFailure(err))}); jsonErr == nil {
		_ = l.flush(append(l.begin(nil), line...))
	}
	l.breakOff()
}

// breakOff ends the connection in the middle of the body.
func (l *lineWriter) breakOff() {
	conn, _, err := l.rc.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	linger(conn, "")
}

// hangUp ends the connection behind an answer that is whole, while the caller
// still sends. net/http would do so too, but lingers for 500 ms, which a caller on
// a slow line, or a busy machine, may miss.
func (l *lineWriter) hangUp(chunked bool) {
	if l.rc.Flush() != nil {
		return
	}
	conn, _, err := l.rc.Hijack()
	if err != nil {
		return
	}
	last := ""
	if chunked {
		last = "0\r\n\r\n"
	}
	linger(conn, last)
}

// lingers is how long a caller that still sends has to read the end of its answer:
// as long as in nginx. Others hang up when they see it.
const lingers = 30 * time.Second

// linger sends what is left of an answer and ends the connection. What the caller
// still sends is read and dropped, until it hangs up too: closing over it would be
// a reset, on which many a client throws away what it has not read yet (RFC 9112
// section 9.6).
func linger(conn net.Conn, last string) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(lingers))
	if _, err := io.WriteString(conn, last); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}
