package audit

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// BenchmarkWrite is what a call pays for its line, to a file as one call after the
// other and as many at once.
func BenchmarkWrite(b *testing.B) {
	for name, chain := range map[string]bool{"plain": false, "chain": true} {
		open := func(b *testing.B) *Log {
			f, past, err := OpenFile(filepath.Join(b.TempDir(), "audit.log"), chain, nil)
			if err != nil {
				b.Fatal(err)
			}
			l := New(Config{W: f, Sample: 1, Chain: chain, Past: past})
			b.Cleanup(func() {
				l.Close()
				_ = f.Close()
			})
			return l
		}
		entry := func() *Entry {
			return &Entry{Time: time.Now(), Decision: Allowed, Outcome: Answered, Caller: "billing", Proof: "api_key", Door: "grpc",
				RPC: "fetchsvc.v1.FetchService/Fetch", Peer: "192.0.2.1", Method: "GET", URL: "https://api.example/v1/things/4711",
				Upstream: "api", Status: 200, Attempts: 1, Addresses: []string{"192.0.2.7:443"}, ResponseType: "application/json", BytesReceived: 4096}
		}
		b.Run(name+"/one", func(b *testing.B) {
			l := open(b)
			b.ReportAllocs()
			for b.Loop() {
				l.Write(entry())
			}
		})
		b.Run(name+"/many", func(b *testing.B) {
			l := open(b)
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Write(entry())
				}
			})
		})
	}
}

// BenchmarkRefuse is what a refused call of a flood pays.
func BenchmarkRefuse(b *testing.B) {
	l := New(Config{W: io.Discard})
	defer l.Close()
	f := fault.New(fault.Unauthenticated, "no")
	b.ReportAllocs()
	for b.Loop() {
		e := FromRefusal(f, time.Time{})
		e.Peer = "192.0.2.1"
		l.Refuse(e)
	}
}
