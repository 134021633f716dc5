package doortest

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// bomb is what a caller makes the real binary hold.
type bomb struct {
	name   string
	attack func(a *attack)
	// most is the peak of memory, in MiB. It is generous: what it must not be is what
	// the client sends, or asks for.
	most int
}

// TestMemory prints and bounds what the real binary's memory comes to under each.
func TestMemory(t *testing.T) {
	t.Parallel()
	for _, b := range []bomb{
		{"nothing", func(*attack) {}, 80},
		{"2,000 idle connections, gRPC", crowdAt(atGRPC, http2.ClientPreface+string(frame(http2.FrameSettings, 0, 0, ""))), 250},
		{"2,000 idle connections, REST", crowdAt(atREST, "GET /readyz HTTP/1.1\r\nHost: x\r\n"), 150},
		{"rapid reset on 20 connections", rapidResets(fetchPath, 20), 200},
		{"10,000 heads of 8 KiB without a message", func(a *attack) {
			c := a.dial2(a.grpc).hello()
			head := c.head(fetchPath, "x-held", strings.Repeat("x", 8<<10)) // as good a second time: HPACK's table cannot hold it
			for i := range uint32(10_000) {
				c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndHeaders: true}))
			}
			a.ping(c)
		}, 500},
		{"1,000 messages of which a half comes", func(a *attack) {
			c := a.dial2(a.grpc).hello()
			go func() { _, _ = io.Copy(io.Discard, c.in) }()
			for i := range uint32(1000) {
				c.open(2*i+1, fetchPath)
				c.must(c.WriteData(2*i+1, false, append([]byte{0, 0, 16, 0, 0}, make([]byte, 8<<10)...)))
			}
		}, 200},
		{"60 answers of 8 MiB that nobody takes", func(a *attack) {
			c := a.dial2(a.grpc).hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			for i := range uint32(60) {
				c.call(2*i+1, streamPath, endless(a))
			}
			a.ping(c)
		}, 150},
		{"floods of what moves nothing", func(a *attack) {
			for _, kind := range []http2.FrameType{http2.FrameSettings, http2.FramePing, 0xbe} {
				flooded(frame(kind, 0, 0, map[http2.FrameType]string{http2.FramePing: "12345678"}[kind]))(a)
			}
		}, 120},
		{"a gzip bomb of 64 MiB, 8 times", eight(refused(fetchPath, gzipBomb(), "8 ", "grpc-encoding", "gzip")), 250},
		{"JSON of 20,000 levels, 8 times", eight(said("/v1/fetch", body(strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), "400 INVALID_REQUEST")), 120},
		{"JSON of 4,000 levels on the wire, 8 times", eight(refused(fetchPath, string(nested(4_000)), "13 ")), 120},
		{"JSON with 400,000 members, 8 times", eight(said("/v1/fetch", body(members(400_000)), "400 INVALID_REQUEST")), 200},
		{"a batch of 2,000, 8 times", eight(said("/v1/fetch:batch", `{"requests":[`+strings.Repeat(`{"url":"http://127.0.0.1:1/"},`, 1999)+`{"url":"http://127.0.0.1:1/"}]}`, "400 INVALID_REQUEST")), 150},
		{"a request without end, 8 times", eight(func(a *attack) {
			c := a.dial(a.rest)
			go func() {
				_, _ = io.WriteString(c, post(a, "/v1/fetch", "Transfer-Encoding: chunked")+strings.Repeat("10000\r\n"+strings.Repeat(" ", 64<<10)+"\r\n", 500))
			}()
			a.want("the request", c.answer(), "413 REQUEST_TOO_LARGE")
		}), 500},
	} {
		t.Run(b.name, b.run)
	}
}

func eight(once func(*attack)) func(*attack) {
	return func(a *attack) {
		for range 8 {
			once(a)
		}
	}
}

// ping waits until the server has read all that was sent before it.
func (a *attack) ping(c *conn2) {
	a.Helper()
	c.must(c.WritePing(false, [8]byte{7}))
	for {
		f, err := c.ReadFrame()
		if err != nil {
			a.Fatal(err)
		}
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			return
		}
	}
}

// crowdAt opens connections that say text, and no more.
func crowdAt(door func(*attack) string, text string) func(*attack) {
	return func(a *attack) {
		for range 2000 {
			a.plain(door(a)).send(text)
		}
	}
}

// childWorld is a world whose service is a process of its own.
type childWorld struct {
	*world
	child *testpeer.Child
}

func startChild(t *testing.T, files int, args ...string) *childWorld {
	t.Helper()
	w := &childWorld{world: &world{log: &journal{}, upstream: newUpstream(t)}}
	if files > 0 {
		w.child = service.StartWithFiles(t, files, policyText, args...)
	} else {
		w.child = service.Start(t, policyText, args...)
	}
	w.grpc, w.rest = w.child.GRPC, w.child.REST
	w.conn, w.web = w.callers(t)
	return w
}

func (b bomb) run(t *testing.T) {
	w := startChild(t, 0)
	w.good(t)
	a := &attack{T: t, world: w.world}
	b.attack(a)
	w.good(t)
	w.fresh(t)
	a.leave()
	peak := w.child.Peak(t)
	t.Logf("peak RSS %d MiB, bound %d", peak, b.most)
	if peak > b.most {
		t.Errorf("the peak is %d MiB, want at most %d", peak, b.most)
	}
}

// TestOutOfFiles: connections take all the files that the process may have open.
// Callers that are connected go on as far as they need no file, the service does not
// spin, and when the crowd leaves all is as before.
func TestOutOfFiles(t *testing.T) {
	t.Parallel()
	w := startChild(t, 64)
	w.good(t)
	conn, err := grpc.NewClient(w.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	policies := fetchsvcv1.NewPolicyServiceClient(conn)
	list := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := policies.ListUpstreams(ctx, &fetchsvcv1.ListUpstreamsRequest{}); err != nil {
			t.Errorf("a caller that was connected before: %v", err)
		}
	}
	list()
	var crowd []net.Conn
	for range 200 {
		for _, addr := range []string{w.grpc, w.rest} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			crowd = append(crowd, c)
		}
	}
	before, began := w.child.CPU(t), time.Now()
	for time.Since(began) < time.Second { // long enough to see whether it spins
		list()
		time.Sleep(20 * time.Millisecond)
	}
	share := float64(w.child.CPU(t)-before) / 100 / time.Since(began).Seconds()
	t.Logf("it used %.0f %% of a processor meanwhile", 100*share)
	if share > 0.6 {
		t.Errorf("it used %.0f %% of a processor, want that it waits", 100*share)
	}
	for _, c := range crowd {
		_ = c.Close()
	}
	w.good(t)
	w.fresh(t)
}
