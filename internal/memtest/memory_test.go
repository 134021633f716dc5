package memtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// size is what one transfer moves: 512 MiB, or 4 GiB in `make soak`.
func size() int64 {
	if soak() {
		return 4 << 30
	}
	return 512 << 20
}

func soak() bool { return os.Getenv("FETCHSVC_SOAK") != "" }

// upstream gives ?n= bytes on GET, and counts what it is sent.
func upstream(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
			return
		}
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		block := make([]byte, 64<<10)
		for n > 0 {
			k, err := w.Write(block[:min(n, int64(len(block)))])
			if err != nil {
				return
			}
			n -= int64(k)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// drain reads a stream's body, at most `most` bytes of it, pausing after each
// chunk, and says how much came and whether it ended well.
func drain(t *testing.T, st fetchsvcv1.FetchService_StreamClient, most int64, pause time.Duration) (got int64, text []byte, whole bool) {
	t.Helper()
	for got < most {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("after %d bytes: %v", got, err)
			break
		}
		whole = whole || m.GetEnd() != nil
		got += int64(len(m.GetChunk()))
		if len(text) < 64 {
			text = append(text, m.GetChunk()[:min(len(m.GetChunk()), 64)]...)
		}
		if pause > 0 {
			time.Sleep(pause) // a slow reader is what is tested
		}
	}
	return got, text, whole
}

func TestDownload(t *testing.T) {
	c := start(t)
	st, err := c.client.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("%s/?n=%d", upstream(t), size())
	if err := st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: &fetchsvcv1.FetchRequest{Url: url}}}); err != nil {
		t.Fatal(err)
	}
	got, _, whole := drain(t, st, 1<<62, 0)
	if got != size() || !whole {
		t.Errorf("%d bytes came, whole %v; want %d", got, whole, size())
	}
	bound(t, c, 80)
}

func TestUpload(t *testing.T) {
	c := start(t)
	st, err := c.client.Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := &fetchsvcv1.FetchRequest{Method: "PUT", Url: upstream(t) + "/", Body: &fetchsvcv1.FetchRequest_Stream{Stream: &fetchsvcv1.StreamBody{}}}
	if err := st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: start}}); err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 32704)
	for left := size(); left > 0; {
		n := min(left, int64(len(chunk)))
		if err := st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Chunk{Chunk: chunk[:n]}}); err != nil {
			t.Fatal(err)
		}
		left -= n
	}
	if err := st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_End{End: &fetchsvcv1.StreamRequestEnd{}}}); err != nil {
		t.Fatal(err)
	}
	_, text, whole := drain(t, st, 1<<62, 0)
	if string(text) != strconv.FormatInt(size(), 10) || !whole {
		t.Errorf("the upstream counted %q, whole %v; want %d", text, whole, size())
	}
	bound(t, c, 80)
}

// TestSlowReaders: 200 streams of 64 MiB at once, to readers that pause. Each
// takes 2 MiB and goes away; in `make soak` each takes all.
func TestSlowReaders(t *testing.T) {
	const streams, each = 200, 64 << 20
	c := start(t)
	url := fmt.Sprintf("%s/?n=%d", upstream(t), each)
	most, pause := int64(2<<20), 5*time.Millisecond
	if soak() {
		most, pause = each, time.Millisecond
	}
	var readers sync.WaitGroup
	for range streams {
		readers.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			st, err := c.client.Stream(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if err := st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: &fetchsvcv1.FetchRequest{Url: url}}}); err != nil {
				t.Error(err)
				return
			}
			if got, _, _ := drain(t, st, most, pause); got < most {
				t.Errorf("%d bytes came, want %d", got, most)
			}
		})
	}
	readers.Wait()
	bound(t, c, 400)
}

func bound(t *testing.T, c *child, most int) {
	t.Helper()
	got := c.Peak(t)
	t.Logf("peak RSS %d MiB, bound %d", got, most)
	if got > most {
		t.Errorf("the peak is %d MiB, want at most %d", got, most)
	}
}
