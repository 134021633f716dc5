package server

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// benchRequests are what callers send: nothing but a URL, and what an API
// client adds to it.
func benchRequests() map[string]*fetchsvcv1.FetchRequest {
	return map[string]*fetchsvcv1.FetchRequest{
		"url": {Url: "http://127.0.0.1:8081/1KiB"},
		"api": {
			Method: "POST", Url: "https://api.example.com/v1/things",
			Params: []*fetchsvcv1.Field{{Name: "q", Value: "python requests"}, {Name: "page", Value: "2"}},
			Headers: []*fetchsvcv1.Field{
				{Name: "accept", Value: "application/json"}, {Name: "x-request-id", Value: "8c6f0f1e"},
				{Name: "authorization", Value: "Bearer abc"},
			},
			Body:           &fetchsvcv1.FetchRequest_JsonText{JsonText: `{"name":"thing","size":3}`},
			IdempotencyKey: "8c6f0f1e",
		},
	}
}

func BenchmarkBuildRequest(b *testing.B) {
	for name, in := range benchRequests() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := buildRequest(in, &caller{name: anonymous}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInterceptors is all that stands before the handler.
func BenchmarkInterceptors(b *testing.B) {
	i, err := newInterceptors(Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	info := &grpc.UnaryServerInfo{FullMethod: fetchsvcv1.FetchService_Fetch_FullMethodName}
	handler := func(context.Context, any) (any, error) { return info, nil }
	for name, in := range benchRequests() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := i.unary(b.Context(), in, info, handler); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResponseProto(b *testing.B) {
	url, err := target.Parse("http://127.0.0.1:8081/1KiB")
	if err != nil {
		b.Fatal(err)
	}
	res := &fetch.Response{
		Status: 200, Reason: "OK", Proto: "1.1", URL: url, Upstream: "bench", Elapsed: time.Millisecond, BytesReceived: 1 << 10,
		Header: http.Header{
			"Content-Type": {"application/json"}, "Content-Length": {"1024"}, "Date": {"Sun, 22 Nov 2026 11:00:00 GMT"},
		},
		Body: []byte(`{"data":"` + strings.Repeat("x", 1<<10-11) + `"}`),
		Attempts: []*fetch.Attempt{{
			Number: 1, Reason: fetch.First, Method: "GET", URL: url, Address: "127.0.0.1:8081", Reused: true, Proto: "1.1",
			Header:  http.Header{"Accept-Encoding": {"gzip"}, "User-Agent": {"fetchsvc/bench"}},
			Timings: fetch.Timings{Connection: 1, Send: 2, FirstByte: 3, Body: 4, Total: 10},
			Wire:    fault.Answered, Status: 200, BytesReceived: 1 << 10,
		}},
	}
	in := &fetchsvcv1.FetchRequest{}
	for _, as := range []fetchsvcv1.FetchRequest_As{fetchsvcv1.FetchRequest_BYTES, fetchsvcv1.FetchRequest_AUTO, fetchsvcv1.FetchRequest_JSON} {
		b.Run(as.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if responseProto(res, in, as).GetStatus() != 200 {
					b.Fatal("lost the status")
				}
			}
		})
	}
}
