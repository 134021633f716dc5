package streamtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// transfers is the upstream of all rounds.
type transfers struct{ rounds sync.Map } // by seed

func (u *transfers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	known, _ := u.rounds.Load(r.URL.Path)
	rd, ok := known.(*round)
	if !ok {
		http.NotFound(w, r)
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 is always
	switch rd.kind {
	case "down":
		rd.serveBody(w)
	case "up":
		rd.take(r.Body, io.Discard)
		_, _ = io.WriteString(w, "thanks")
	default:
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		rd.take(r.Body, flusher{w})
	}
}

// flusher flushes each write: an echo answers before it has all.
type flusher struct{ w http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
	}
	return n, err
}

func (rd *round) serveBody(w http.ResponseWriter) {
	out := io.Writer(w)
	if rd.gzip {
		w.Header().Set("Content-Encoding", "gzip")
		coder := gzip.NewWriter(w)
		defer coder.Close()
		out = coder
	} else if rd.length {
		w.Header().Set("Content-Length", strconv.Itoa(len(rd.body)))
	}
	rd.pieces(2, func(p []byte) bool {
		_, err := out.Write(p)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		return err == nil
	})
}

// take reads an upload and holds it against the body, byte by byte.
func (rd *round) take(from io.Reader, to io.Writer) {
	buf := make([]byte, 8<<10)
	for {
		n, err := from.Read(buf)
		rd.mu.Lock()
		if at := rd.got; at+n > len(rd.body) || !bytes.Equal(buf[:n], rd.body[at:at+n]) {
			rd.wrong = append(rd.wrong, fmt.Sprintf("the upstream got other bytes than were sent, between %d and %d", at, at+n))
		}
		rd.got += n
		rd.whole = err == io.EOF
		if rd.whole && !rd.ended.Load() {
			rd.wrong = append(rd.wrong, "the upload looks whole to the upstream, and the caller sent no `end`")
		}
		rd.mu.Unlock()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
