package server

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// pipe is the two ends of an in-process stream. Nothing is buffered: a send
// waits until the other end takes the message, which is the back-pressure.
type pipe struct {
	ctx    context.Context
	cancel context.CancelFunc

	up   chan any // client to server
	down chan any // server to client

	closeUp  sync.Once
	upClosed chan struct{}

	done chan struct{} // the handler has returned err
	err  error
}

func newPipe(ctx context.Context) *pipe {
	p := &pipe{up: make(chan any), down: make(chan any), upClosed: make(chan struct{}), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	return p
}

// finish ends the stream with what the handler returned.
func (p *pipe) finish(err error) {
	p.err = err
	close(p.done)
	p.cancel()
}

// clientEnd is the caller's side.
type clientEnd struct{ *pipe }

var _ grpc.ClientStream = (*clientEnd)(nil)

func (c *clientEnd) Header() (metadata.MD, error) { return metadata.MD{}, nil }
func (c *clientEnd) Trailer() metadata.MD         { return metadata.MD{} }
func (c *clientEnd) Context() context.Context     { return c.ctx }

// CloseSend says that the client has sent all.
func (c *clientEnd) CloseSend() error {
	c.closeUp.Do(func() { close(c.upClosed) })
	return nil
}

// SendMsg gives io.EOF once the handler has returned; RecvMsg has the reason.
func (c *clientEnd) SendMsg(m any) error {
	select {
	case c.up <- m:
		return nil
	case <-c.done:
		return io.EOF
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// RecvMsg gives the next message, io.EOF at a good end, or the handler's error.
func (c *clientEnd) RecvMsg(m any) error {
	select {
	case got := <-c.down:
		return share(m, got)
	case <-c.done:
	}
	if c.err != nil {
		return c.err
	}
	return io.EOF
}

// serverEnd is the handler's side.
type serverEnd struct {
	*pipe
	ctx context.Context
}

var _ grpc.ServerStream = (*serverEnd)(nil)

func (s *serverEnd) SetHeader(metadata.MD) error  { return nil }
func (s *serverEnd) SendHeader(metadata.MD) error { return nil }
func (s *serverEnd) SetTrailer(metadata.MD)       {}
func (s *serverEnd) Context() context.Context     { return s.ctx }

func (s *serverEnd) SendMsg(m any) error {
	select {
	case s.down <- m:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// RecvMsg gives io.EOF after CloseSend; a caller that went away is its context's
// error, never a silent end.
func (s *serverEnd) RecvMsg(m any) error {
	select {
	case got := <-s.up:
		return share(m, got)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-s.upClosed:
		return io.EOF
	}
}
