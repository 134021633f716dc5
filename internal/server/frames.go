package server

import (
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/net/http2"
)

// frames reads along what a client sends over HTTP/2, and judges it by its frames'
// heads. grpc-go takes any number of frames that move nothing, and of calls that are
// reset as soon as they are begun (CVE-2023-44487); each costs it work, and the
// latter a call. Only one goroutine uses it.
type frames struct {
	skip int // bytes of what is no head
	head [9]byte
	have int

	last  uint32 // the newest stream
	idle  bucket // of frames that move nothing
	rapid bucket // of streams reset as they begin

	// floor is the newest stream that is at least a second old, mark the one that
	// will be.
	floor, mark uint32
	marked      time.Time
}

const (
	prefaceSize = len(http2.ClientPreface)
	// idleFrames is how many frames that move nothing may come at once, and idleRate
	// how many in each second. One more may come for each idlePerByte bytes sent to
	// the client, for it says what it has taken, and two for each call.
	idleFrames, idleRate, idlePerByte = 10_000, 1000, 16
	// rapidResets is how many calls may be reset within about a second of their
	// beginning, and rapidRate how many in each second: clients do cancel calls, and
	// all of them at once when they end.
	rapidResets, rapidRate = 2000, 200
	// tiny is a DATA frame, in bytes, that costs more than it carries.
	tiny = 16
)

func newFrames() frames {
	return frames{skip: prefaceSize, idle: newBucket(idleFrames, idleRate), rapid: newBucket(rapidResets, rapidRate)}
}

var (
	errIdleFrames = errors.New("too many frames that move nothing")
	errRapidReset = errors.New("too many calls that are reset as they begin")
)

// see judges the next bytes.
func (f *frames) see(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(p))
			f.skip -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		f.have += n
		p = p[n:]
		if f.have < len(f.head) {
			return nil
		}
		f.have = 0
		length := int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		f.skip = length
		id := binary.BigEndian.Uint32(f.head[5:]) & (1<<31 - 1)
		if err := f.judge(http2.FrameType(f.head[3]), http2.Flags(f.head[4]), length, id); err != nil {
			return err
		}
	}
	return nil
}

func (f *frames) judge(kind http2.FrameType, flags http2.Flags, length int, id uint32) error {
	switch kind {
	case http2.FrameHeaders:
		f.begin(id)
		f.idle.give(2)
		return nil
	case http2.FrameData:
		if length >= tiny || flags.Has(http2.FlagDataEndStream) {
			return nil
		}
	case http2.FrameRSTStream:
		if id > f.floor && !f.rapid.take() {
			return errRapidReset
		}
	}
	if !f.idle.take() {
		return errIdleFrames
	}
	return nil
}

// begin notes a new stream; their numbers grow.
func (f *frames) begin(id uint32) {
	f.last = max(f.last, id)
	if now := time.Now(); now.Sub(f.marked) >= time.Second {
		f.floor, f.mark, f.marked = f.mark, f.last, now
	}
}

// bucket is a token bucket. It looks at the clock only when it is empty.
type bucket struct {
	left, most int64
	rate       int64 // in each second
	filled     time.Time
}

func newBucket(most, rate int64) bucket {
	return bucket{left: most, most: most, rate: rate, filled: time.Now()}
}

func (b *bucket) give(n int64) { b.left = min(b.left+n, b.most) }

func (b *bucket) take() bool {
	if b.left == 0 {
		now := time.Now()
		b.give(int64(now.Sub(b.filled).Seconds() * float64(b.rate)))
		if b.left == 0 {
			return false
		}
		b.filled = now
	}
	b.left--
	return true
}
