package server

import (
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// pacing gives the calls of the gRPC door their clocks: one for the request's first
// message, one for each message of the answer. What comes between is the engine's.
type pacing struct{ bounds Bounds }

// stream is an interceptor, outside all others.
func (p pacing) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	paced := p.over(ss)
	defer paced.answered()
	return handler(srv, paced)
}

func (p pacing) over(ss grpc.ServerStream) *pacedStream {
	s := &pacedStream{ServerStream: ss, bounds: p.bounds}
	if conn := framedOf(ss.Context()); conn != nil {
		s.debt = &debt{conn: conn}
	}
	return s
}

// pacedStream is an RPC with its clocks. Nothing returns from a grpc-go stream before
// the stream ends, so a clock that runs out ends the call.
type pacedStream struct {
	grpc.ServerStream
	bounds Bounds
	debt   *debt // nil where the connection is not known
	begun  bool
	answer *time.Timer // runs while a message is sent; nil: none was yet
}

// answered says that the handler is done: what is left of the answer has nobody to
// wait for it.
func (s *pacedStream) answered() {
	if s.debt != nil {
		s.debt.leave()
	}
}

// RecvMsg gives up on a first message that does not come.
func (s *pacedStream) RecvMsg(m any) error {
	if s.begun {
		return s.ServerStream.RecvMsg(m)
	}
	s.begun = true
	clock := time.AfterFunc(s.bounds.Message, s.endLate)
	err := s.ServerStream.RecvMsg(m)
	if !clock.Stop() && err != nil {
		return s.late()
	}
	return err
}

func (s *pacedStream) endLate() { s.end(s.late()) }

func (s *pacedStream) late() *fault.Error {
	f := fault.Newf(fault.UploadIncomplete,
		"the request did not come whole within %v: send what is large, or comes slowly, by Stream", s.bounds.Message)
	f.SafeToRetry = true
	return f
}

// SendMsg gives up on a caller that takes nothing of an answer.
func (s *pacedStream) SendMsg(m any) error {
	if s.answer == nil {
		s.answer = time.AfterFunc(s.bounds.Answer, s.endUntaken)
	} else {
		s.answer.Reset(s.bounds.Answer)
	}
	err := s.send(m)
	if !s.answer.Stop() && err != nil {
		return untaken()
	}
	return err
}

func (s *pacedStream) send(m any) error {
	if s.debt == nil {
		return s.ServerStream.SendMsg(m)
	}
	if err := s.debt.conn.wait(s.Context()); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(&owed{m, s.debt, 0})
}

func (s *pacedStream) endUntaken() { s.end(untaken()) }

func untaken() *fault.Error {
	return fault.New(fault.Cancelled, "the caller took nothing of the answer for too long")
}

// end answers a call from outside its handler, as grpc-go does itself when a message
// cannot be read.
func (s *pacedStream) end(f *fault.Error) {
	st, ok := grpc.ServerTransportStreamFromContext(s.Context()).(interface {
		WriteStatus(*status.Status) error
	})
	if ok {
		_ = st.WriteStatus((&failure{fault: f}).GRPCStatus())
	}
}

// owed is a message of an answer, counted from when it is encoded until it is sent.
// It stands for the pool of its own bytes: being given them back is how one learns
// that grpc-go is done with them.
type owed struct {
	message any
	debt    *debt
	size    int64
}

// Get is never called.
func (o *owed) Get(length int) *[]byte { return mem.DefaultBufferPool().Get(length) }

// Put takes the bytes back: they were sent, or nobody wants them any more.
func (o *owed) Put(b *[]byte) {
	o.debt.pay(o.size)
	o.recycle(b)
}

func (o *owed) recycle(b *[]byte) {
	if cap(*b) >= pooled {
		mem.DefaultBufferPool().Put(b)
	}
}

const (
	// pooled is a buffer worth using again, in bytes.
	pooled = 4 << 10
	// smallest is a buffer, in bytes, that mem says it is done with: of one of 1 KiB
	// and below nobody hears.
	smallest = 1<<10 + 1
)

// codec is grpc-go's for protobuf, but that it counts what is owed and bounds what
// nests.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal encodes v.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	o, ok := v.(*owed)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	m, ok := o.message.(proto.Message)
	if !ok {
		return nil, errors.New("an answer is no protobuf message")
	}
	size := proto.Size(m)
	var buf *[]byte
	if size >= pooled {
		buf = mem.DefaultBufferPool().Get(size)
	} else {
		small := make([]byte, size, max(size, smallest))
		buf = &small
	}
	if _, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend((*buf)[:0], m); err != nil {
		o.recycle(buf)
		return nil, err
	}
	o.size = int64(max(size, 1))
	o.debt.owe(o.size)
	return mem.BufferSlice{mem.NewBuffer(buf, o)}, nil
}

// Unmarshal reads a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return proto.UnmarshalOptions{RecursionLimit: maxNested}.Unmarshal(buf.ReadOnlyData(), m)
}
