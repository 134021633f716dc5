package streamtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const (
	// rounds is how many transfers TestTransfers makes.
	rounds = 1000
	// firstSeed is the seed of round 0; FETCHSVC_SEED takes its place.
	firstSeed = 2026
)

// round is one transfer of a random body, all of it made of its seed.
type round struct {
	seed   uint64
	door   door
	kind   string // down, up or echo
	h2     bool
	gzip   bool // of a download
	length bool // an upload announces its length
	body   []byte
	cancel int // after so many bytes; -1: not

	ended atomic.Bool // the caller is about to send `end`

	mu    sync.Mutex
	got   int // of the upload, by the upstream
	whole bool
	wrong []string
}

func newRound(seed uint64) *round {
	r := rand.New(rand.NewPCG(seed, 1))
	most := []int{16, 16 << 10, 16 << 10, 16 << 10, 128 << 10, 128 << 10}[r.IntN(6)]
	if r.IntN(25) == 0 {
		most = 1 << 20
	}
	rd := &round{
		seed: seed, door: doors()[r.IntN(3)], kind: []string{"down", "up", "echo"}[r.IntN(3)],
		h2: r.IntN(3) == 0, gzip: r.IntN(3) == 0, length: r.IntN(2) == 0, body: make([]byte, r.IntN(most)), cancel: -1,
	}
	if r.IntN(4) == 0 {
		copy(rd.body, kib64) // something that compresses
	} else {
		for i := range rd.body {
			rd.body[i] = byte(r.Uint32())
		}
	}
	if r.IntN(5) == 0 {
		rd.cancel = r.IntN(len(rd.body) + 1)
	}
	return rd
}

func (rd *round) String() string {
	return fmt.Sprintf("FETCHSVC_SEED=%d (%s over %s, %d bytes, h2 %t, gzip %t, length %t, cancelled after %d)",
		rd.seed, rd.kind, rd.door.name, len(rd.body), rd.h2, rd.gzip, rd.length, rd.cancel)
}

func (rd *round) faultf(format string, args ...any) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.wrong = append(rd.wrong, fmt.Sprintf(format, args...))
}

// pieces cuts the body at random and calls each, with a pause now and then,
// until one says false.
func (rd *round) pieces(salt uint64, each func(p []byte) bool) {
	r := rand.New(rand.NewPCG(rd.seed, salt))
	for rest := rd.body; len(rest) > 0; {
		n := 1 + r.IntN(len(rest))
		if r.IntN(2) == 0 {
			n = 1 + r.IntN(min(len(rest), 40<<10))
		}
		if !each(rest[:n]) {
			return
		}
		rest = rest[n:]
		if r.IntN(16) == 0 {
			time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond) // part of the load
		}
	}
}

// run makes the transfer.
func (rd *round) run(t *testing.T, w *world, base string) {
	in := &fetchsvcv1.FetchRequest{Url: base + "/" + strconv.FormatUint(rd.seed, 10)}
	if rd.kind != "down" {
		in.Method = http.MethodPost
		body := &fetchsvcv1.StreamBody{}
		if n := int64(len(rd.body)); rd.length {
			body.ContentLength = &n
		}
		in.Body = &fetchsvcv1.FetchRequest_Stream{Stream: body}
	}
	s := rd.door.open(t, w)
	stuck := time.AfterFunc(patience, func() {
		rd.faultf("it was stuck for %v", patience)
		s.cancel()
	})
	defer stuck.Stop()
	var sending sync.WaitGroup
	sending.Go(func() { rd.send(s, in) })
	rd.receive(s)
	s.close()
	sending.Wait()
}

func (rd *round) send(s stream, in *fetchsvcv1.FetchRequest) {
	_ = s.send(start(in))
	if rd.kind == "down" {
		s.closeSend()
		return
	}
	sent, whole := 0, true
	rd.pieces(3, func(p []byte) bool {
		if rd.kind == "up" && rd.cancel >= 0 && sent+len(p) > rd.cancel {
			whole = false
			s.cancel()
			return false
		}
		whole = s.send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Chunk{Chunk: p}}) == nil
		sent += len(p)
		return whole
	})
	if whole {
		rd.ended.Store(true)
		_ = s.send(end())
		s.closeSend()
	}
}

func (rd *round) receive(s stream) {
	var got bytes.Buffer
	var tail *fetchsvcv1.FetchResponse
	for {
		m, err := s.recv()
		if err != nil {
			rd.judge(got.Bytes(), tail, err)
			return
		}
		if m.GetEnd() != nil {
			tail = m.GetEnd()
		}
		got.Write(m.GetChunk())
		if rd.kind != "up" && rd.cancel >= 0 && got.Len() > rd.cancel {
			s.cancel()
		}
	}
}

// judge holds what arrived, here and there, against the body.
func (rd *round) judge(got []byte, tail *fetchsvcv1.FetchResponse, err error) {
	rd.mu.Lock()
	uploaded, whole := rd.got, rd.whole
	rd.mu.Unlock()
	want := rd.body
	if rd.kind == "up" {
		want = []byte("thanks")
	}
	switch {
	case rd.cancel >= 0 && err != io.EOF:
		if !bytes.HasPrefix(want, got) {
			rd.faultf("the %d bytes that came before the cancel are not the body's first", len(got))
		}
		return
	case err != io.EOF:
		rd.faultf("it failed: %v", err)
		return
	case sha256.Sum256(got) != sha256.Sum256(want):
		rd.faultf("%d bytes came that are not the %d sent", len(got), len(want))
	}
	if rd.kind != "down" && (!whole || uploaded != len(rd.body) || tail.GetBytesSent() != int64(len(rd.body))) {
		rd.faultf("the upstream got %d bytes of the upload, whole %t, and `end` counts %d sent; want %d", uploaded, whole, tail.GetBytesSent(), len(rd.body))
	}
	if tail.GetBytesDecoded() != int64(len(got)) {
		rd.faultf("`end` counts %d bytes, %d came", tail.GetBytesDecoded(), len(got))
	}
}

// TestTransfers holds that what goes in comes out, byte for byte, however it is
// cut, delayed or broken off, in both directions and both at once.
func TestTransfers(t *testing.T) {
	w := newWorld(t)
	upstream := &transfers{}
	cert := w.ca.Issue(testpeer.CertOpts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	plain, h2 := testpeer.HTTP(t, upstream), testpeer.TLS(t, upstream, cert, testpeer.TLSOpts{HTTP2Only: false})
	seed, n := uint64(firstSeed), rounds
	if text := os.Getenv("FETCHSVC_SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("FETCHSVC_SEED: %v", err)
		}
		seed, n = given, 1
	}
	todo := make(chan *round)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for rd := range todo {
				base := plain
				if rd.h2 {
					base = h2
				}
				path := "/" + strconv.FormatUint(rd.seed, 10)
				upstream.rounds.Store(path, rd)
				rd.run(t, w, base)
				rd.mu.Lock()
				for _, what := range rd.wrong {
					t.Errorf("%v: %s", rd, what)
					stop()
				}
				rd.mu.Unlock()
			}
		})
	}
	cancelled := 0
	for i := range n {
		rd := newRound(seed + uint64(i))
		if rd.cancel >= 0 {
			cancelled++
		}
		select {
		case todo <- rd:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	workers.Wait()
	t.Logf("%d rounds, %d of them cancelled", n, cancelled)
}
