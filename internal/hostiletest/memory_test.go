package hostiletest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// bomb is a call to a hostile upstream, made by several callers at once.
type bomb struct {
	name string
	peer testpeer.Script
	tls  func(*testing.T) server
	in   *fetchsvcv1.FetchRequest
	// most is the peak of memory, in MiB, that four such calls at once may cause. It
	// is generous: what it must not be is what the peer sends.
	most int
}

// callers is how many make each call at once.
const callers = 4

// TestMemory prints and bounds what the real binary's memory comes to under each.
func TestMemory(t *testing.T) {
	brackets := strings.Repeat(strings.Repeat("[", 99)+strings.Repeat("]", 99)+",", 3<<20/199)
	values := "[" + brackets + "0]"
	bombs := []bomb{
		{name: "nothing", peer: testpeer.OK, most: 80},
		{name: "header fields without end", peer: testpeer.EndlessHead, most: 120},
		{name: "ten redirects with 50,000 fields each", peer: chain50k, most: 250},
		{name: "ten redirects with heads of 250 KiB", peer: chain(strings.Repeat("x", 120<<10)), most: 250},
		{name: "1xx without end", peer: testpeer.Flood1xx(-1), most: 120},
		{name: "chunks without end", peer: testpeer.EndlessBody, most: 150},
		{name: "length of 8 EiB", peer: ends(length("9223372036854775807") + "part"), in: &fetchsvcv1.FetchRequest{AllowTruncated: true}, most: 120},
		{name: "gzip bomb", peer: forever(endlessGzip(t)), most: 150},
		{name: "br bomb", peer: testpeer.Answer(coded("br", zeros(t, "br", 64<<20))), most: 250},
		{name: "zstd bomb", peer: testpeer.Answer(coded("zstd", zeros(t, "zstd", 64<<20))), most: 250},
		{name: "nested JSON of 3 MiB", peer: testpeer.Answer(testpeer.Response(200, values, "Content-Type: application/json")),
			in: &fetchsvcv1.FetchRequest{As: fetchsvcv1.FetchRequest_JSON}, most: 250},
		{name: "1e999 in JSON", peer: testpeer.Answer(testpeer.Response(200, "["+strings.Repeat("1e999,", 400_000)+"1]", "Content-Type: application/json")),
			in: &fetchsvcv1.FetchRequest{As: fetchsvcv1.FetchRequest_JSON}, most: 250},
		{name: "Content-Type of 250 KiB, as text", peer: testpeer.Answer(testpeer.Response(200, "x", "Content-Type: text/plain"+strings.Repeat(`;a="\"b"`, 30<<10))),
			in: &fetchsvcv1.FetchRequest{As: fetchsvcv1.FetchRequest_TEXT}, most: 150},
		{name: "HTTP/2 header bomb", tls: every2(tableBomb), in: &fetchsvcv1.FetchRequest{SkipVerify: true}, most: 150},
	}
	for _, b := range bombs {
		t.Run(b.name, b.run)
	}
}

func (b bomb) run(t *testing.T) {
	c := start(t)
	url := ""
	if b.tls != nil {
		url = b.tls(t).url
	} else {
		url = testpeer.Raw(t, b.peer).URL
	}
	in := b.in
	if in == nil {
		in = &fetchsvcv1.FetchRequest{}
	}
	in.Url = url + "/"
	var calls sync.WaitGroup
	var mu sync.Mutex
	ends := map[string]int{}
	for range callers {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			res, err := c.client.Fetch(ctx, in)
			end := fmt.Sprint(res.GetStatus())
			if err != nil {
				end = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			ends[fmt.Sprintf("%.120s", end)]++
		})
	}
	calls.Wait()
	peak := c.Peak(t)
	t.Logf("peak RSS %d MiB, bound %d; %v", peak, b.most, ends)
	if peak > b.most {
		t.Errorf("the peak is %d MiB, want at most %d", peak, b.most)
	}
}

// chain50k redirects without end; each head has as many fields as fit 250 KiB.
var chain50k = func() testpeer.Script {
	fill := many(50_000, "%x:\r\n")[:250<<10]
	fill = fill[:strings.LastIndex(fill, "\n")+1]
	return testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
		c.Write("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + r.Target + "x\r\n" + fill + "\r\n")
	})
}()

// tableBomb is a head that swells by HPACK's table.
func tableBomb(c *conn2) {
	pairs := []string{":status", "200"}
	for range 10_000 {
		pairs = append(pairs, "x-bomb", strings.Repeat("b", 3000))
	}
	for s := c.begin(); ; s = c.request() {
		must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: c.fields(pairs...), EndStream: true, EndHeaders: true}))
	}
}
