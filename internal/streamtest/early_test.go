package streamtest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// postStream sends a REST stream and reads the whole answer.
func (w *world) postStream(t *testing.T, body io.Reader) *http.Response {
	t.Helper()
	res, err := w.web.Post(w.rest+"/v1/stream", "application/x-ndjson", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("got %d %q, %v; want a stream that ends well", res.StatusCode, text, err)
	}
	return res
}

// TestEarlyAnswerAnnouncesItsClosing: an answer that begins before the caller's
// upload has ended says that the connection closes, because what is left of the
// upload would be taken for the next request. Else a client that keeps
// connections loses its next request to the closing.
func TestEarlyAnswerAnnouncesItsClosing(t *testing.T) {
	w := newWorld(t)
	peer := testpeer.Raw(t, testpeer.EarlyAnswerFreeze)
	upload, caller := io.Pipe()
	defer caller.Close()
	sent := make(chan error, 1)
	go func() { // and no end of it before the answer is read
		_, err := io.WriteString(caller, `{"start":{"url":"`+peer.URL+`","method":"POST","stream":{}}}`+"\n")
		sent <- err
	}()
	if res := w.postStream(t, upload); !res.Close {
		t.Errorf("the answer has %v and does not announce that the connection closes", res.Header)
	}
	if err := <-sent; err != nil {
		t.Errorf("start was not sent: %v", err)
	}
}

// TestAnswerToAWholeRequestKeepsTheConnection: one that begins after the request
// was read announces nothing, and the next request goes by the same connection.
// Whether it was read by then is a race that the answer may win, so one of a few
// must.
func TestAnswerToAWholeRequestKeepsTheConnection(t *testing.T) {
	const tries = 20
	w := newWorld(t)
	for name, body := range map[string]string{
		"no upload": `{"start":{"url":"{peer}"}}`,
		"an upload": `{"start":{"url":"{peer}","method":"POST","stream":{}}}` + "\n" + `{"chunk":"aGVsbG8="}` + "\n" + `{"end":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			close(release)
			peer := testpeer.Slow(t, release) // reads the request before it answers
			closed := 0
			for range tries {
				if w.postStream(t, strings.NewReader(strings.ReplaceAll(body, "{peer}", peer.URL))).Close {
					closed++
				}
			}
			if closed == tries {
				t.Errorf("all of %d answers to whole requests announce that the connection closes", tries)
			}
			t.Logf("%d of %d answers announce that the connection closes", closed, tries)
		})
	}
}
