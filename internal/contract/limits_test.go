package contract

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// occupied is an upstream of host, all of whose places are taken by calls that
// last until the case's own was answered; then queued calls wait in vain.
func occupied(host string) setup {
	return func(t *testing.T, w *world) peers {
		release := make(chan struct{})
		slow := testpeer.Slow(t, release)
		p := at(slow.URL)
		var held sync.WaitGroup
		held.Go(func() {
			res, err := w.api.Fetch(t.Context(), &fetchsvcv1.FetchRequest{Url: "http://" + host + ".test:" + p.port() + "/"})
			if err != nil || res.GetStatus() != http.StatusOK {
				t.Errorf("the call that takes the place ends with %d, %v", res.GetStatus(), err)
			}
		})
		slow.AwaitActive(1)
		p.done = func() { close(release); held.Wait() }
		return peers{"peer": p}
	}
}

// poolCases: more calls at once than policy allows.
func poolCases() []testCase {
	in := func(name, host, fields, kind string, says ...string) testCase {
		return testCase{name: "limits: " + name, peers: occupied(host), in: `{"url":"http://` + host + `.test:{peer.port}/"` + fields + `}`,
			want: want{kind: kind, safe: true, says: says}}
	}
	full := in("no place and no queue", "full", "", "POOL_FULL", "1 calls in flight", "limits.concurrent")
	late := in("no place within the pool clock", "busy", `,"method":"POST"`, "POOL_TIMEOUT", "50ms")
	full.want.retryAfter, late.want.retryAfter = "1s", "1s"
	total := in("no place within the total clock", "jammed", `,"timeouts":{"total":"0.1s"}`, "TOTAL_TIMEOUT", "100ms")
	return []testCase{full, late, total}
}

// boundCases: the sizes of a policy.
func boundCases() []testCase {
	const url = `"url":"http://sized.test:{peer.port}/a"`
	in := func(name, fields string, peers setup, w want) testCase {
		if w.kind == "" && w.upstream == "" {
			w.upstream = "sized"
		}
		return testCase{name: "sizes: " + name, peers: peers, in: "{" + fields + "}", want: w}
	}
	coded := func(text string) setup { return answers(response(200, gzipped(text), "Content-Encoding: gzip")) }
	failed := func(kind string, says ...string) want {
		return want{kind: kind, safe: false, says: says, attempts: []string{"FIRST GET ANSWERED 200 " + kind}}
	}
	long, zeros := strings.Repeat("0123456789", 700), strings.Repeat("0", 2<<20)
	return []testCase{
		in("decoded within", url, coded(long[:4000]), want{decoded: "gzip", sized: 4000}),
		in("decoded over response and within decoded", url, coded(long), want{decoded: "gzip", sized: 7000}),
		in("decoded over", url, coded(long+long), failed("RESPONSE_TOO_LARGE", "8192 bytes")),
		in("swelling over the ratio", `"url":"http://tight.test:{peer.port}/"`, coded(swells()), failed("BAD_CONTENT_CODING", "50")),
		in("swelling within the ratio that policy leaves", `"url":"http://{peer}/"`, coded(swells()), want{upstream: "open", decoded: "gzip", sized: 2 << 20}),
		in("swelling over the ratio that policy leaves", `"url":"http://{peer}/"`, coded(zeros), failed("BAD_CONTENT_CODING", "200")),
		in("swelling within a ratio of its own", `"url":"http://roomy.test:{peer.port}/"`, coded(zeros), want{upstream: "roomy", decoded: "gzip", sized: 2 << 20}),
		in("coded bytes are not decoded", url+`,"decode":"NONE"`, coded(strings.Repeat("0", 8000)), want{}),
		in("received over", url, answers(response(200, long[:4097])), failed("RESPONSE_TOO_LARGE", "4096 bytes")),
		in("request over", url+`,"method":"PUT","text":"`+long[:1025]+`"`, nil, want{kind: "REQUEST_TOO_LARGE", says: []string{"1025", "1KiB", `"sized"`}}),
		in("request within", url+`,"method":"PUT","text":"`+long[:1024]+`"`, nil, want{}),
		in("request_header over by one header", url+`,"headers":[{"name":"X-Long","value":"`+long[:512]+`"}]`, nil, want{kind: "REQUEST_TOO_LARGE", says: []string{"512B", "headers"}}),
		in("request_header over by the URL", `"url":"http://sized.test:{peer.port}/`+long[:512]+`"`, nil, want{kind: "REQUEST_TOO_LARGE", says: []string{"URL"}}),
		in("request_header within", url+`,"headers":[{"name":"X-Long","value":"`+long[:400]+`"}]`, nil, want{}),
	}
}

// swells is 2 MiB that gzip makes a hundred times smaller.
func swells() string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range 64 {
		block := make([]byte, 256)
		for i := range block {
			block[i] = byte(random.Uint32())
		}
		b.WriteString(strings.Repeat(string(block), 128))
	}
	return b.String()
}

// TestOneCallAtATime: calls over the limit wait their turn, whichever door they
// came by, and the ledger says so.
func TestOneCallAtATime(t *testing.T) {
	w := newWorld(t)
	var inside, most, waited atomic.Int32
	up := at(testpeer.HTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		for n := inside.Add(1); n > most.Load(); {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		inside.Add(-1)
	})))
	doors := []door{w.overGRPC, w.overREST}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			a := doors[i%2](t, &fetchsvcv1.FetchRequest{Url: "http://narrow.test:" + up.port() + "/", As: fetchsvcv1.FetchRequest_BYTES}, strings.NewReplacer())
			if a.Status != http.StatusOK {
				t.Errorf("a call ends with %s", a)
			}
			for _, n := range a.Notes {
				if strings.HasPrefix(n, "#1 after ") && strings.Contains(n, "limits.concurrent") {
					waited.Add(1)
				}
			}
		})
	}
	all.Wait()
	if most.Load() != 1 || waited.Load() == 0 {
		t.Errorf("%d calls were in flight at once and %d say that they waited; want 1, and most of 40", most.Load(), waited.Load())
	}
}
