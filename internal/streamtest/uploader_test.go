package streamtest

import (
	"sync"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// uploader sends a caller's messages on a goroutine of its own.
type uploader struct {
	stream
	in   *fetchsvcv1.FetchRequest
	peer *testpeer.RawServer // nil: the upstream is no script

	headCame, bodyCame, over chan struct{}

	head, body sync.Once
	done       chan struct{}
}

// newUploader sends start and then lets send go on; nil: that is all.
func newUploader(s stream, in *fetchsvcv1.FetchRequest, peer *testpeer.RawServer, send func(*uploader)) *uploader {
	u := &uploader{stream: s, in: in, peer: peer, done: make(chan struct{})}
	u.headCame, u.bodyCame, u.over = make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(u.done)
		if send == nil {
			u.start()
			u.closeSend()
			return
		}
		send(u)
	}()
	return u
}

// wait tells the uploader that the stream is over, and waits for it.
func (u *uploader) wait() {
	u.head.Do(func() { close(u.headCame) })
	u.body.Do(func() { close(u.bodyCame) })
	close(u.over)
	<-u.done
}

// saw notes a message that came.
func (u *uploader) saw(m *fetchsvcv1.StreamResponse) {
	u.head.Do(func() { close(u.headCame) })
	if m.GetHead() == nil {
		u.body.Do(func() { close(u.bodyCame) })
	}
}

// awaitHead waits until the response's head is there.
func (u *uploader) awaitHead() { <-u.headCame }

func (u *uploader) start() { _ = u.send(start(u.in)) }

func (u *uploader) chunks(all ...string) {
	for _, c := range all {
		if u.send(chunk(c)) != nil {
			return
		}
	}
}

func (u *uploader) end(trailers ...string) {
	_ = u.send(end(trailers...))
	u.closeSend()
}

// endless sends chunks until the stream is over.
func (u *uploader) endless() {
	for u.send(chunk(kib64)) == nil {
	}
	u.closeSend()
}

// text sends what need not be a message. gRPC has no such thing.
func (u *uploader) text(s string) bool {
	rest, ok := u.stream.(*overREST)
	if ok {
		_ = rest.sendText(s)
	}
	return ok
}

// sends is an upload of chunks with a good end.
func sends(chunks ...string) func(*uploader) {
	return func(u *uploader) {
		u.start()
		u.chunks(chunks...)
		u.end()
	}
}

// awaitBody waits until something of the response's body is there.
func (u *uploader) awaitBody() { <-u.bodyCame }

// awaitEnd waits until the stream is over.
func (u *uploader) awaitEnd() { <-u.over }
