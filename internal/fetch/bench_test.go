package fetch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// BenchmarkEngine is a whole call on a kept-alive connection, beside what the
// bare transport takes for it. The upstream shares the process and counts in
// both: the difference is the engine's.
func BenchmarkEngine(b *testing.B) {
	body := strings.Repeat("x", 1<<10)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body)
	}))
	defer upstream.Close()

	b.Run("bare", func(b *testing.B) {
		transport := &http.Transport{MaxIdleConnsPerHost: 1024}
		defer transport.CloseIdleConnections()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, upstream.URL, nil)
				if err != nil {
					b.Error(err)
					return
				}
				res, err := transport.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	})

	b.Run("engine", func(b *testing.B) {
		snapshot, err := policy.Parse("bench", []byte("upstreams:\n  - {name: bench, hosts: ['127.0.0.1:*'], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8]}\n"), policy.Options{})
		if err != nil {
			b.Fatal(err)
		}
		pools := egress.NewPools(egress.Config{})
		defer pools.Close()
		e := New(Config{Pools: pools, UserAgent: "bench"})
		e.Use(snapshot)
		url, err := target.Parse(upstream.URL)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				res, err := e.Do(b.Context(), &Request{Caller: "bench", Method: http.MethodGet, URL: url, Header: http.Header{}})
				if err != nil || res.Status != http.StatusOK || len(res.Body) != len(body) {
					b.Errorf("Do = %d with %d bytes, %v", res.Status, len(res.Body), err)
					return
				}
			}
		})
	})
}
