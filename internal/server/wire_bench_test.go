package server

import (
	"log/slog"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// BenchmarkUnary is an RPC that does next to nothing, over a real connection.
func BenchmarkUnary(b *testing.B) {
	pools := egress.NewPools(egress.Config{})
	defer pools.Close()
	srv, err := New(Config{Engine: fetch.New(fetch.Config{Pools: pools}), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listeners[0], listeners[1]) }()
	defer func() {
		srv.Stop()
		<-served
	}()
	conn, err := grpc.NewClient(listeners[0].Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	api := fetchsvcv1.NewPolicyServiceClient(conn)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := api.GetSnapshot(b.Context(), &fetchsvcv1.GetSnapshotRequest{}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
