package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// call makes one call and judges the answer. Calls have no deadline: a timer for
// each would be a cost of the load's choosing.
type call func(context.Context) error

// load is so many calls in flight, through one door.
type load struct {
	workers []call
	close   func()
}

// maxConns is how many connections gRPC calls share.
const maxConns = 4

// overGRPC makes a load on the gRPC door at addr, where each call fetches url
// and wants size bytes.
func overGRPC(addr, url string, size, inFlight int) (*load, error) {
	l := &load{}
	conns := make([]*grpc.ClientConn, min(inFlight, maxConns))
	for i := range conns {
		cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		conns[i] = cc
	}
	l.close = func() {
		for _, cc := range conns {
			_ = cc.Close()
		}
	}
	for i := range inFlight {
		client := fetchsvcv1.NewFetchServiceClient(conns[i%len(conns)])
		in := &fetchsvcv1.FetchRequest{Url: url}
		l.workers = append(l.workers, func(ctx context.Context) error {
			out, err := client.Fetch(ctx, in)
			if err != nil {
				return err
			}
			if out.GetStatus() != http.StatusOK || len(out.GetBody()) != size {
				return fmt.Errorf("got status %d and %d bytes, want 200 and %d", out.GetStatus(), len(out.GetBody()), size)
			}
			return nil
		})
	}
	return l, nil
}

// overREST makes the same load on the REST door, a connection for each call in
// flight.
func overREST(addr, url string, size, inFlight int) (*load, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight, DisableCompression: true}
	l := &load{close: transport.CloseIdleConnections}
	body := `{"url":"` + url + `"}`
	for range inFlight {
		l.workers = append(l.workers, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/fetch", strings.NewReader(body))
			if err != nil {
				return err
			}
			res, err := transport.RoundTrip(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			n, err := io.Copy(io.Discard, res.Body)
			if err != nil {
				return err
			}
			if res.StatusCode != http.StatusOK || n < int64(size) {
				return fmt.Errorf("got HTTP %d and %d bytes, want 200 and at least %d", res.StatusCode, n, size)
			}
			return nil
		})
	}
	return l, nil
}

// run keeps every worker busy for d and gives each call's latency. It returns
// when the last call has ended.
func (l *load) run(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	took := make([][]time.Duration, len(l.workers))
	failed := make([]error, len(l.workers))
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for i, call := range l.workers {
		wg.Go(func() {
			for begin := time.Now(); begin.Before(end); {
				if failed[i] = call(ctx); failed[i] != nil {
					return
				}
				now := time.Now()
				took[i] = append(took[i], now.Sub(begin))
				begin = now
			}
		})
	}
	wg.Wait()
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return all, errors.Join(failed...)
}
