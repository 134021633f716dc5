package streamtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestBadUploadOverREST breaks the JSON in the middle of an upload, which gRPC
// cannot: it is never a silent half-close.
func TestBadUploadOverREST(t *testing.T) {
	w := newWorld(t)
	failed := func(kind string, fields ...string) want {
		return want{status: noHead, kind: kind, fields: fields, attempts: []string{"FIRST POST MAYBE_PROCESSED " + kind}}
	}
	untried := func(fields ...string) want {
		return want{status: noHead, kind: "INVALID_REQUEST", fields: fields, untried: true}
	}
	behind := func(text string) func(*uploader) {
		return func(u *uploader) { u.start(); u.chunks("part"); u.peer.AwaitRequests(1); u.text(text); u.end() }
	}
	head := testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 100") + "part"
	late := want{body: "part", kind: "INVALID_REQUEST", fields: []string{"body"}}
	cases := []testCase{
		{name: "garbage", upload: behind("this is no JSON\n"), want: failed("INVALID_REQUEST", "body")},
		{name: "an unknown field", upload: behind(`{"chnk":"eA=="}` + "\n"), want: failed("INVALID_REQUEST", "chnk")},
		{name: "bad base64", upload: behind(`{"chunk":"*"}` + "\n"), want: failed("INVALID_REQUEST", "chunk")},
		{name: "an array", upload: behind("[]\n"), want: failed("INVALID_REQUEST", "body")},
		{name: "two members", upload: behind(`{"chunk":"eA==","end":{}}` + "\n"), want: failed("INVALID_REQUEST", "end")},
		{name: "an empty object", upload: behind("{}\n"), want: failed("INVALID_REQUEST", "message")},
		{name: "garbage first", upload: func(u *uploader) { u.text("nonsense\n"); u.closeSend() }, want: untried("body")},
		{name: "garbage behind the head", want: late,
			script: func(c *testpeer.RawConn) {
				h := c.ReadHead()
				c.Write(head)
				c.ReadBody(h)
			},
			upload: func(u *uploader) { u.start(); u.awaitBody(); u.text("this is no JSON\n"); u.end() }},
		{name: "torn within a message", want: failed("UPLOAD_INCOMPLETE"),
			upload: func(u *uploader) { u.start(); u.peer.AwaitRequests(1); u.text(`{"chunk":"eA=`); u.closeSend() }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.script == nil {
				c.script = func(c *testpeer.RawConn) {
					c.ReadBody(c.ReadHead())
					c.Write(testpeer.Response(200, "whole"))
					c.Stall()
				}
			}
			c.in, c.sent = post, func(t *testing.T, s *testpeer.RawServer) {
				if !c.want.untried {
					torn(t, s)
				}
			}
			for _, d := range doors()[1:] {
				c.call(t, w, d)
			}
		})
	}
}

// TestConcatenatedJSON takes what curl sends where people press return at will.
func TestConcatenatedJSON(t *testing.T) {
	w := newWorld(t)
	peer := testpeer.Raw(t, testpeer.OK)
	body := "\n {\"start\":{\"url\":\"" + peer.URL + "\",\n\"method\":\"PUT\",\"stream\":{}}}{\"chunk\":\"aGVs\"} {\"chunk\":\n\"bG8=\"}\r\n{\"end\":{}}"
	res, err := w.web.Post(w.rest+"/v1/stream", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(text), `"bytes_sent":"5"`) && !strings.Contains(string(text), `"bytes_sent": "5"`) {
		t.Errorf("got %v, %q; want an end that counts 5 bytes sent", err, text)
	}
}

// TestNoRequestIsMadeOfAnUpload holds that the rest of an upload which was
// answered early is never read as the caller's next request.
func TestNoRequestIsMadeOfAnUpload(t *testing.T) {
	w := newWorld(t)
	peer := testpeer.Raw(t, testpeer.EarlyAnswerFreeze)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.rest, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := `{"start":{"url":"` + peer.URL + `","method":"POST","stream":{}}}` + "\n"
	_, _ = fmt.Fprintf(conn, "POST /v1/stream HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n",
		strings.TrimPrefix(w.rest, "http://"), len(start), start)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatalf("the answer broke off: %v", err)
	}
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: "+strings.TrimPrefix(w.rest, "http://")+"\r\n\r\n")
	if res, err := http.ReadResponse(r, nil); err == nil {
		t.Errorf("the rest of the upload was answered %s; want a closed connection", res.Status)
	}
}

// TestLateFailureIsTheLastLine reads the bytes: NDJSON, the head, the chunk, the
// error, and then no proper end.
func TestLateFailureIsTheLastLine(t *testing.T) {
	w := newWorld(t)
	peer := testpeer.Raw(t, testpeer.CutBody)
	res, err := w.web.Post(w.rest+"/v1/stream", "", strings.NewReader(`{"start":{"url":"`+peer.URL+`"}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the body ends with %v, want unexpected EOF", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	var names []string
	for _, line := range lines {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil || len(m) != 1 {
			t.Errorf("the line %q is no object of one member: %v", line, err)
		}
		for name := range m {
			names = append(names, name)
		}
	}
	if want := []string{"head", "chunk", "error"}; !slices.Equal(names, want) {
		t.Errorf("the lines are %q, want %q", names, want)
	}
	for name, want := range map[string]string{"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestEachLineAsItComes holds that nothing waits for what follows: the upstream
// goes on only when the caller has what came before.
func TestEachLineAsItComes(t *testing.T) {
	w := newWorld(t)
	for _, d := range doors() {
		t.Run(d.name, func(t *testing.T) {
			next := make(chan struct{})
			peer := testpeer.Raw(t, func(c *testpeer.RawConn) {
				c.ReadRequest()
				c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Length: 3"))
				for _, b := range []string{"a", "b", "c"} {
					select {
					case <-next:
						c.Write(b)
					case <-c.Done():
						return
					}
				}
				c.Stall()
			})
			s := d.open(t, w)
			defer s.close()
			in := &fetchsvcv1.FetchRequest{}
			if err := protojson.Unmarshal([]byte(`{"url":"`+peer.URL+`"}`), in); err != nil {
				t.Fatal(err)
			}
			_ = s.send(start(in))
			s.closeSend()
			if m, err := s.recv(); m.GetHead() == nil {
				t.Fatalf("got %v, %v; want the head before any byte of the body", m, err)
			}
			for _, b := range []string{"a", "b", "c"} {
				next <- struct{}{}
				if m, err := s.recv(); string(m.GetChunk()) != b {
					t.Fatalf("got %v, %v; want the chunk %q before the next byte", m, err, b)
				}
			}
			if m, err := s.recv(); m.GetEnd() == nil {
				t.Fatalf("got %v, %v; want the end", m, err)
			}
		})
	}
}
