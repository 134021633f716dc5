package oteltest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// inventive is an upstream whose hosts, paths, methods and statuses callers and the
// upstream can invent; names are the proxy's to resolve, which is the upstream too.
func inventive() scenario {
	return scenario{
		name: "series",
		policy: "upstreams:\n  - name: wild\n    hosts: ['*.invented.example']\n    schemes: [http]\n" +
			"    proxy: {url: 'http://{a}', unsafe_proxy_resolves: true}\n    retry: {max_attempts: 1}\n",
		peers: only(testpeer.EachRequest(func(c *testpeer.RawConn, r testpeer.Request) {
			if r.Method == "CONNECT" {
				c.Write(testpeer.Lines("HTTP/1.1 200 Connected"))
				return
			}
			c.Writef("HTTP/1.1 %s Invented\r\nContent-Length: 0\r\n\r\n", r.Target[len(r.Target)-3:])
		})),
		env: []string{"OTEL_TRACES_SAMPLER=always_off"},
	}
}

// invent makes the calls of one number, which no other has made.
func (w *world) invent(n int) {
	host, status := fmt.Sprintf("h%d.invented.example", n), 600+n%400
	w.header.Set("traceparent", fmt.Sprintf("00-%032x-%016x-00", n+1, n+1))
	w.header.Set("baggage", fmt.Sprintf("k%d=v%d", n, n))
	w.fetch(fmt.Sprintf(`{"url":"http://%s/p%d/200?q%d=1"}`, host, n, n))
	w.fetch(fmt.Sprintf(`{"method":"M%d","url":"http://%s/p%d/200"}`, n, host, n))
	w.fetch(fmt.Sprintf(`{"url":"http://%s/p%d/%d"}`, host, n, status))
	w.fetch(fmt.Sprintf(`{"url":"http://nobody%d.example/"}`, n))
	w.fetch(fmt.Sprintf(`{"url":"scheme%d://x/"}`, n))
	w.unknown(fmt.Sprintf("/invented.S%d/M%d", n, n))
}

// series are those of /metrics, without what the process itself brings.
func (w *world) series() []string {
	var all []string
	for line := range strings.Lines(w.ask(w.Context(), http.MethodGet, "/metrics", "")) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
			all = append(all, line[:at])
		}
	}
	slices.Sort(all)
	return all
}

// inventions is how many of each sort are made.
const inventions = 1000

// invented holds that nothing that callers and upstreams make up makes series: those of
// one invention are those of all.
func invented(t *testing.T, all *seen) {
	for _, door := range []string{"grpc", "rest"} {
		s := inventive()
		w := s.enter(t, door)
		w.invent(0)
		w.series() // which is a page of the service's own
		before := w.series()
		if len(before) < 50 {
			t.Fatalf("by %s: only %d series, of calls of six sorts", door, len(before))
		}
		for n := range inventions {
			w.invent(n + 1)
		}
		after := slices.DeleteFunc(w.series(), func(one string) bool { return slices.Contains(before, one) })
		// The bound of the tail decision is told once it was reached.
		after = slices.DeleteFunc(after, func(one string) bool { return one == "fetchsvc_traces_dropped_total" })
		if len(after) > 0 {
			t.Errorf("by %s: %d series came with %d inventions, such as %q", door, len(after), inventions, after[:min(len(after), 5)])
		}
		w.end()
		conventional(t, "inventions by "+door, w.sink)
		all.add(w.sink)
	}
}
