package fetch

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// speaks sends a stream of events and closes; whole: it ends well.
func speaks(text string, whole bool, fields ...string) testpeer.Script {
	return func(c *testpeer.RawConn) {
		c.ReadRequest()
		lines := append([]string{"HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked"}, fields...)
		c.Write(testpeer.Lines(lines...))
		if text != "" {
			c.Writef("%x\r\n%s\r\n", len(text), text)
		}
		if whole {
			c.Write("0\r\n\r\n")
		}
		c.Linger()
	}
}

func TestEventsAreResumed(t *testing.T) {
	torn := func(text string) testpeer.Script { return speaks(text, false) }
	whole := func(text string) testpeer.Script { return speaks(text, true) }
	const one, two, three = "id: 1\ndata: a\n\n", "id: 2\ndata: b\n\n", "id: 3\ndata: c\n\n"
	large := "data: " + strings.Repeat("x", eventsMost) + "\n"
	for name, c := range map[string]struct {
		scripts []testpeer.Script
		tweak   func(*Request)
		got     string
		ids     string // Last-Event-ID of the attempts but the first
		says    string
	}{
		"between events":         {scripts: []testpeer.Script{torn(one), whole(two)}, got: one + two, ids: "1"},
		"amid an event":          {scripts: []testpeer.Script{torn(one + "id: 2\nda"), whole(two)}, got: one + two, ids: "1"},
		"amid an id":             {scripts: []testpeer.Script{torn(one + "id: 2"), whole(two)}, got: one + two, ids: "1"},
		"before a blank line":    {scripts: []testpeer.Script{torn(one + "id: 2\ndata: b\n"), whole(two)}, got: one + two, ids: "1"},
		"within CRLF":            {scripts: []testpeer.Script{torn("id: 1\r\ndata: a\r\n\r"), whole("id: 2\r\ndata: b\r\n\r\n")}, got: "id: 1\r\ndata: a\r\n\rid: 2\r\ndata: b\r\n\r\n", ids: "1"},
		"CR only":                {scripts: []testpeer.Script{torn("id: 1\rdata: a\r\rid: 2\rdata"), whole("id: 2\rdata: b\r\r")}, got: "id: 1\rdata: a\r\rid: 2\rdata: b\r\r", ids: "1"},
		"three times":            {scripts: []testpeer.Script{torn(one), torn(two), torn(""), torn(three + "x"), whole("")}, got: one + two + three, ids: "1 2 2 3"},
		"an id without data":     {scripts: []testpeer.Script{torn("id: 7\n\n"), whole(one)}, got: "id: 7\n\n" + one, ids: "7"},
		"an id stays":            {scripts: []testpeer.Script{torn(one + "data: b\n\n"), whole(three)}, got: one + "data: b\n\n" + three, ids: "1"},
		"an id with NUL":         {scripts: []testpeer.Script{torn(one + "id: 2\x00\ndata: b\n\n"), whole(three)}, got: one + "id: 2\x00\ndata: b\n\n" + three, ids: "1"},
		"a torn id is forgotten": {scripts: []testpeer.Script{torn(one + "id: 9\n"), torn("data: b\n\n"), whole(three)}, got: one + "data: b\n\n" + three, ids: "1 1"},
		"no space":               {scripts: []testpeer.Script{torn("id:  x\ndata: a\n\n"), whole("")}, got: "id:  x\ndata: a\n\n", ids: "x"},
		"byte order marks":       {scripts: []testpeer.Script{torn("\uFEFF" + one), whole("\uFEFF" + two)}, got: "\uFEFF" + one + two, ids: "1"},
		"comments":               {scripts: []testpeer.Script{torn(one + ": alive\n: al"), whole(two)}, got: one + ": alive\n" + two, ids: "1"},
		"a comment amid":         {scripts: []testpeer.Script{torn(one + "id: 2\n: alive\n"), whole(two)}, got: one + two, ids: "1"},
		"204":                    {scripts: []testpeer.Script{torn(one), testpeer.NoContent}, got: one, ids: "1"},
		"a clean end":            {scripts: []testpeer.Script{whole(one + "data: torn")}, got: one + "data: torn"},
		"503 between":            {scripts: []testpeer.Script{torn(one), closing(503), whole(two)}, got: one + two, ids: "1 1"},
		"no id":                  {scripts: []testpeer.Script{torn("data: a\n\n")}, got: "data: a\n\n", says: "no event had an id yet"},
		"an id in the torn part": {scripts: []testpeer.Script{torn("id: 1\ndata: a\n")}, says: "no event had an id yet"},
		"an id taken back":       {scripts: []testpeer.Script{torn(one + "id\ndata: b\n\n")}, got: one + "id\ndata: b\n\n", says: "no event had an id yet"},
		"an odd id":              {scripts: []testpeer.Script{torn("id: \x01\ndata: a\n\n")}, got: "id: \x01\ndata: a\n\n", says: "cannot stand in a header"},
		"another type":           {scripts: []testpeer.Script{torn(one), testpeer.OK}, got: one, ids: "1", says: "something else than text/event-stream"},
		"coded":                  {scripts: []testpeer.Script{torn(one), speaks(two, true, "Content-Encoding: gzip")}, got: one, ids: "1", says: "or coded"},
		"404":                    {scripts: []testpeer.Script{torn(one), testpeer.Status("404")}, got: one, ids: "1", says: "status 404"},
		"POST":                   {scripts: []testpeer.Script{torn(one)}, tweak: post, got: one, says: "BODY_CUT_SHORT"},
		"too large to hold back": {scripts: []testpeer.Script{torn(one + large + two)}, got: one + large + two, says: "BODY_CUT_SHORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := testpeer.Raw(t, testpeer.InTurn(c.scripts...))
			req := request(t, "GET", srv.URL+"/")
			if c.tweak != nil {
				c.tweak(req)
			}
			got, res, err := streamed(t.Context(), t, newEngine(t, resuming("")), req)
			if string(got) != c.got {
				t.Errorf("got %d bytes, %.200q; want %d, %.200q", len(got), got, len(c.got), c.got)
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v after %d attempts, want %q", err, len(res.Attempts), c.says)
			}
			if ids := lastIDs(srv); ids != c.ids {
				t.Errorf("the upstream was asked for what is behind %q, want %q", ids, c.ids)
			}
		})
	}
}

// lastIDs are the Last-Event-IDs that srv got with the requests behind the first.
func lastIDs(srv *testpeer.RawServer) string {
	var ids []string
	for _, r := range srv.Requests()[1:] {
		for line := range strings.SplitSeq(string(r), "\r\n") {
			if id, ok := strings.CutPrefix(line, "Last-Event-Id: "); ok {
				ids = append(ids, id)
			}
		}
	}
	return strings.Join(ids, " ")
}

// TestEventsRetry: what the stream asks for is waited for, and no more than policy
// lets an upstream ask for.
func TestEventsRetry(t *testing.T) {
	for name, c := range map[string]struct {
		retry, wait, says string
	}{
		"asked":      {retry: "retry: 30\n", wait: "30ms"},
		"not digits": {retry: "retry: 30s\n", wait: "1ms"},
		"too long":   {retry: "retry: 100000\n", says: "the stream's retry asks for a wait of 1m40s"},
		"endless":    {retry: "retry: 99999999999999999999\n", says: "RETRY"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(resuming(""), "base: 1ms, max: 2ms", "base: 1ms, max: 1ms, jitter: none", 1)
			srv := testpeer.Raw(t, testpeer.InTurn(speaks(c.retry+"id: 1\n\n", false), speaks("", true)))
			e := newEngine(t, text)
			e.random = always(0)
			_, res, err := streamed(t.Context(), t, e, request(t, "GET", srv.URL+"/"))
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) && !strings.Contains(res.Attempts[0].Stopped, c.says) {
					t.Errorf("got %v, want it to say %q", err, c.says)
				}
				return
			}
			if err != nil || len(res.Attempts) != 2 || res.Attempts[1].Wait.String() != c.wait {
				t.Errorf("got %v after %d attempts, want a wait of %s", err, len(res.Attempts), c.wait)
			}
		})
	}
}

// TestEventsComeAtOnce: an event is handed on with its blank line, and what belongs
// to the next is held back.
func TestEventsComeAtOnce(t *testing.T) {
	release := make(chan struct{})
	srv := testpeer.Raw(t, func(c *testpeer.RawConn) {
		c.ReadRequest()
		c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Connection: close") + "id: 1\ndata: a\n\nid: 2\n")
		select {
		case <-release:
		case <-c.Done():
		}
		c.Write("data: b\n\n")
		c.Linger()
	})
	live, _, err := newEngine(t, resuming("")).Open(t.Context(), request(t, "GET", srv.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	p := make([]byte, 100)
	n, err := live.Read(p)
	if got := string(p[:n]); got != "id: 1\ndata: a\n\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	close(release)
	if rest, err := io.ReadAll(live); string(rest) != "id: 2\ndata: b\n\n" || err != nil {
		t.Errorf("then got %q, %v", rest, err)
	}
}

// stream is events with ids from 1 on, in all the ways to end a line.
func stream(n int) (events []string) {
	endings := []string{"\n", "\r\n", "\r"}
	for i := range n {
		end := endings[rand.IntN(3)]
		e := "id: " + strconv.Itoa(i+1) + end
		if rand.IntN(3) == 0 {
			e = ": comment" + end + e
		}
		if rand.IntN(3) == 0 {
			e += "event: kind" + end
		}
		for range rand.IntN(4) {
			e += "data: " + strings.Repeat("y", rand.IntN(200)) + end
		}
		events = append(events, e+end)
	}
	return events
}

// TestEventsCutAtRandom: wherever a stream is cut and however it is chopped, each
// event arrives once.
func TestEventsCutAtRandom(t *testing.T) {
	for range 20 {
		all := stream(100)
		script := func(c *testpeer.RawConn) {
			r := c.ReadRequest()
			from, _ := strconv.Atoi(r.Get("Last-Event-Id"))
			rest := strings.Join(all[from:], "")
			c.Write(testpeer.Lines("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
			cut := c.Index() < 20
			if cut && rest != "" {
				rest = rest[:min(len(rest), len(all[from])+rand.IntN(len(rest)/5+1))]
			}
			for len(rest) > 0 {
				n := min(len(rest), 1+rand.IntN(300))
				c.Writef("%x\r\n%s\r\n", n, rest[:n])
				rest = rest[n:]
			}
			if !cut {
				c.Write("0\r\n\r\n")
			}
			c.Linger()
		}
		srv := testpeer.Raw(t, script)
		got, res, err := streamed(t.Context(), t, newEngine(t, resuming("")), request(t, "GET", srv.URL+"/"))
		if err != nil || len(res.Attempts) < 5 {
			t.Fatalf("%v after %d attempts", err, len(res.Attempts))
		}
		if want := eventsOf(t, strings.Join(all, "")); !slices.Equal(eventsOf(t, string(got)), want) {
			t.Fatalf("got %d bytes: %.2000q\nwant %.2000q", len(got), got, strings.Join(all, ""))
		}
	}
}

func eventsOf(t *testing.T, text string) (all []string) {
	t.Helper()
	events := content.NewEvents(strings.NewReader(text), 1<<20)
	for {
		e, err := events.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%+v", e))
	}
}

// TestCancelledReconnection: nobody waits for a reconnection that nobody wants.
func TestCancelledReconnection(t *testing.T) {
	srv := testpeer.Raw(t, speaks("retry: 50000\nid: 1\n\n", false))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, _, err := streamed(ctx, t, newEngine(t, resuming("")), request(t, "GET", srv.URL+"/"))
	if f := fault.From(err); err == nil || f.Kind != fault.BodyCutShort || !strings.Contains(f.Message, "does not fit") || f.RetryAfter < 50*time.Second {
		t.Errorf("got %v, want it said at once that the wait does not fit", err)
	}
}
