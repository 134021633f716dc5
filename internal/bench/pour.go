package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// errRefused is an answer that says: you call too often.
var errRefused = errors.New("refused")

// keyed makes calls with an API key.
type keyed struct {
	call  call
	close func()
}

// newKeyed makes a client of a door, with conns connections where it is gRPC.
func newKeyed(door string, at addresses, url, key string, conns int) (*keyed, error) {
	if door == "rest" {
		return keyedREST(at.REST, url, key), nil
	}
	clients := make([]fetchsvcv1.FetchServiceClient, conns)
	var closers []func() error
	for i := range clients {
		cc, err := grpc.NewClient("passthrough:///"+at.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		clients[i], closers = fetchsvcv1.NewFetchServiceClient(cc), append(closers, cc.Close)
	}
	var next atomic.Uint64
	in := &fetchsvcv1.FetchRequest{Url: url}
	return &keyed{
		call: func(ctx context.Context) error {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
			res, err := clients[next.Add(1)%uint64(conns)].Fetch(ctx, in)
			switch {
			case status.Code(err) == codes.ResourceExhausted:
				return errRefused
			case err == nil && res.GetStatus() != http.StatusOK:
				return fmt.Errorf("got status %d", res.GetStatus())
			}
			return err
		},
		close: func() {
			for _, c := range closers {
				_ = c()
			}
		},
	}, nil
}

func keyedREST(addr, url, key string) *keyed {
	transport := &http.Transport{MaxIdleConnsPerHost: mostPoured, DisableCompression: true}
	return &keyed{close: transport.CloseIdleConnections, call: func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/fetch", strings.NewReader(`{"url":"`+url+`"}`))
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+key)
		res, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		switch res.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusTooManyRequests:
			return errRefused
		}
		return fmt.Errorf("got HTTP %d", res.StatusCode)
	}}
}

// atRate makes rate calls a second for d, each when it is due whatever became of
// those before, and gives how long after that each was answered.
func atRate(ctx context.Context, client *keyed, rate int, d time.Duration) ([]time.Duration, error) {
	n := int(d.Seconds() * float64(rate))
	took, failed := make([]time.Duration, n), make([]error, n)
	start := time.Now()
	var all sync.WaitGroup
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		all.Go(func() {
			failed[i] = client.call(ctx)
			took[i] = time.Since(due)
		})
	}
	all.Wait()
	return took, errors.Join(failed...)
}

// poured is what became of a flood.
type poured struct {
	Answered int64 `json:"answered"`
	Refused  int64 `json:"refused"`
	// Unsent were due when mostPoured others were in flight still.
	Unsent int64 `json:"unsent"`
	Failed int64 `json:"failed"`
}

func (p *poured) add(o poured) {
	p.Answered, p.Refused, p.Unsent, p.Failed = p.Answered+o.Answered, p.Refused+o.Refused, p.Unsent+o.Unsent, p.Failed+o.Failed
}

// mostPoured bounds the calls of a flood in flight.
const mostPoured = 500

// pour is a child that floods: its arguments are door, address, URL, rate and
// duration. It says what became of its calls.
func pour(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 5 {
		return fmt.Errorf("flood: want door, address, URL, rate and duration, got %q", args)
	}
	rate, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(args[4])
	if err != nil {
		return err
	}
	client, err := newKeyed(args[0], addresses{GRPC: args[1], REST: args[1]}, args[2], loudKey, maxConns)
	if err != nil {
		return err
	}
	defer client.close()
	var answered, refused, failed atomic.Int64
	p := poured{}
	places := make(chan struct{}, mostPoured)
	var all sync.WaitGroup
	start := time.Now()
	for sent := 0; ctx.Err() == nil && time.Since(start) < d; time.Sleep(time.Millisecond) {
		for due := int(time.Since(start).Seconds() * float64(rate)); sent < due; sent++ {
			select {
			case places <- struct{}{}:
			default:
				p.Unsent++
				continue
			}
			all.Go(func() {
				switch err := client.call(ctx); {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, errRefused):
					refused.Add(1)
				default:
					failed.Add(1)
				}
				<-places
			})
		}
	}
	all.Wait()
	p.Answered, p.Refused, p.Failed = answered.Load(), refused.Load(), failed.Load()
	return json.NewEncoder(out).Encode(p)
}
