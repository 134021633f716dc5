package streamtest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const (
	// pressed is how much the side that is not stopped would move if nobody held
	// it.
	pressed = 24 << 20
	// held bounds what may be under way where a side stands still: the buffers of
	// six sockets and of gRPC, far less than pressed.
	held = 16 << 20
	// heap bounds what the service and the clients in this process may hold then.
	heap = 16 << 20
	// standstill is how long a write must wait to be called blocked.
	standstill = 300 * time.Millisecond
)

// blocked is how far a writer came when it was held for the first time, and what
// the heap was then.
type blocked struct {
	at   int64
	heap uint64
}

// patient writes n bytes of a pattern to conn and notes when it is held.
func patient(conn net.Conn, n int64, sum hash.Hash, held chan<- blocked) error {
	block := bytes.Repeat([]byte("fetchsvc"), 4<<10)
	for at := int64(0); at < n; {
		_ = conn.SetWriteDeadline(time.Now().Add(standstill))
		w, err := conn.Write(block[:min(int64(len(block)), n-at)])
		sum.Write(block[:w])
		at += int64(w)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case held <- blocked{at, liveHeap()}:
			default:
			}
			// What of the block is left goes on: the pattern begins anew, which the
			// sum knows.
			continue
		}
		if err != nil {
			return err
		}
	}
	return conn.SetWriteDeadline(time.Time{})
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestCallerStopsReading holds that a caller who reads nothing holds the
// upstream's writer, with little in between, and gets every byte in the end.
func TestCallerStopsReading(t *testing.T) {
	w := newWorld(t)
	for _, d := range doors()[:2] {
		t.Run(d.name, func(t *testing.T) {
			stuck, sum := make(chan blocked, 1), sha256.New()
			wrote := make(chan error, 1)
			url := testpeer.HTTP(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				conn, _, err := rw.(http.Hijacker).Hijack()
				if err != nil {
					wrote <- err
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, testpeer.Lines("HTTP/1.1 200 OK", "Connection: close"))
				wrote <- patient(conn, pressed, sum, stuck)
			}))
			before := liveHeap()
			s := d.open(t, w)
			defer s.close()
			_ = s.send(start(&fetchsvcv1.FetchRequest{Url: url}))
			s.closeSend()
			if m, err := s.recv(); m.GetHead() == nil {
				t.Fatalf("got %v, %v; want the head", m, err)
			}
			checkHeld(t, <-stuck, before)
			got, n := sha256.New(), int64(0)
			for {
				m, err := s.recv()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("the stream failed after %d bytes: %v", n, err)
				}
				got.Write(m.GetChunk())
				n += int64(len(m.GetChunk()))
			}
			if err := <-wrote; err != nil || n != pressed || !bytes.Equal(got.Sum(nil), sum.Sum(nil)) {
				t.Errorf("got %d bytes with SHA-256 %x, the upstream wrote %d with %x: %v", n, got.Sum(nil), pressed, sum.Sum(nil), err)
			}
		})
	}
}

// TestUpstreamStopsReading is the other direction: the caller is held.
func TestUpstreamStopsReading(t *testing.T) {
	w := newWorld(t)
	for _, d := range doors()[:2] {
		t.Run(d.name, func(t *testing.T) {
			resume, sum := make(chan struct{}), sha256.New()
			url := testpeer.HTTP(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-resume:
				case <-r.Context().Done():
				}
				_, _ = io.Copy(sum, r.Body)
			}))
			before := liveHeap()
			s := d.open(t, w)
			defer s.close()
			in := &fetchsvcv1.FetchRequest{Url: url, Method: "PUT", Body: &fetchsvcv1.FetchRequest_Stream{Stream: &fetchsvcv1.StreamBody{}}}
			want := sha256.New()
			stuck := make(chan blocked, 1)
			go func() {
				_ = s.send(start(in))
				for at := int64(0); at < pressed; at += int64(len(kib64)) {
					at := at
					timer := time.AfterFunc(standstill, func() {
						select {
						case stuck <- blocked{at, liveHeap()}:
						default:
						}
					})
					_ = s.send(chunk(kib64))
					timer.Stop()
					want.Write([]byte(kib64))
				}
				_ = s.send(end())
				s.closeSend()
			}()
			checkHeld(t, <-stuck, before)
			close(resume)
			var sent int64
			for {
				m, err := s.recv()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("the upload failed: %v", err)
				}
				sent = max(sent, m.GetEnd().GetBytesSent())
			}
			if sent != pressed || !bytes.Equal(sum.Sum(nil), want.Sum(nil)) {
				t.Errorf("sent %d bytes, the upstream got SHA-256 %x; want %d with %x", sent, sum.Sum(nil), pressed, want.Sum(nil))
			}
		})
	}
}

func checkHeld(t *testing.T, b blocked, before uint64) {
	t.Helper()
	t.Logf("the writer was held after %d KiB; the heap grew by %d KiB", b.at>>10, (int64(b.heap)-int64(before))>>10)
	if b.at > held {
		t.Errorf("the writer was held after %d bytes, want %d at most", b.at, held)
	}
	if b.heap > before+heap {
		t.Errorf("the heap grew from %d to %d bytes, want %d more at most", before, b.heap, heap)
	}
}
