package main

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/grpc"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// floor is what anybody would write in ten minutes: the same RPC with the same
// messages, and nothing in between. Of the reply it fills what every HTTP answer
// has.
type floor struct {
	fetchsvcv1.UnimplementedFetchServiceServer
	transport *http.Transport
}

// newFloor makes the floor's server, tuned by nothing but the idle pool: with
// Go's default of 2 idle connections the floor would cost twice as much.
func newFloor() *grpc.Server {
	srv := grpc.NewServer()
	fetchsvcv1.RegisterFetchServiceServer(srv, &floor{transport: &http.Transport{MaxIdleConnsPerHost: 1024}})
	return srv
}

// Fetch makes one call.
func (f *floor) Fetch(ctx context.Context, in *fetchsvcv1.FetchRequest) (*fetchsvcv1.FetchResponse, error) {
	u, err := url.Parse(in.GetUrl())
	if err != nil {
		return nil, err
	}
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(ctx)
	res, err := f.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	out := &fetchsvcv1.FetchResponse{
		Status: int32(res.StatusCode), Content: &fetchsvcv1.FetchResponse_Body{Body: body},
	}
	for name, values := range res.Header {
		for _, v := range values {
			out.Headers = append(out.Headers, &fetchsvcv1.Field{Name: name, Value: v})
		}
	}
	return out, nil
}

// serveFloor is a child that serves the floor.
func serveFloor(ctx context.Context, errs io.Writer) error {
	lis, err := announce(ctx, errs, "grpc")
	if err != nil {
		return err
	}
	srv := newFloor()
	stop := context.AfterFunc(ctx, srv.Stop)
	defer stop()
	return srv.Serve(lis)
}
