// Package collectortest has a collector whose troubles can be chosen, and tests that
// run the real binary beside it: calls are answered all the same, memory is bounded,
// what is lost is counted, and the log says so once. internal/bench measures by it.
package collectortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// Trouble is what ails a Collector.
type Trouble int32

// The troubles.
const (
	// None: it takes all at once.
	None Trouble = iota
	// Absent: nothing listens, connections are refused.
	Absent
	// Hanging: it accepts, reads and never answers.
	Hanging
	// Slow: it answers each export after Delay.
	Slow
	// Failing: it answers each export that it is unavailable.
	Failing
)

// String is the trouble in a word.
func (t Trouble) String() string {
	return [...]string{"none", "absent", "hanging", "slow", "failing"}[t]
}

// Delay is how long a Slow collector takes.
const Delay = 2 * time.Second

// patience is how long Suffer waits for the port, which somebody else may have had
// meanwhile.
const patience = 10 * time.Second

var errUnavailable = errors.New("the collector is out of order")

// Collector takes what services send by OTLP. Close it.
type Collector struct {
	// URL is for OTEL_EXPORTER_OTLP_ENDPOINT.
	URL string

	protocol, address string
	blind             bool
	spans             atomic.Int64

	mu      sync.Mutex
	trouble Trouble
	changed chan struct{} // closed when trouble is another
	stop    func()        // nil: it is absent
}

// Start starts one for a value of OTEL_EXPORTER_OTLP_PROTOCOL, without trouble. A blind
// one does not look at what comes, so that it costs least, and counts nothing; it is
// for HTTP only.
func Start(protocol string, blind bool) (*Collector, error) {
	c := &Collector{protocol: protocol, address: "127.0.0.1:0", blind: blind, trouble: Absent, changed: make(chan struct{})}
	if err := c.Suffer(None); err != nil {
		return nil, err
	}
	c.URL = "http://" + c.address
	return c, nil
}

// Spans are how many were taken, and the service told so.
func (c *Collector) Spans() int64 { return c.spans.Load() }

// Suffer gives it another trouble. What is being answered ends by the new one.
func (c *Collector) Suffer(t Trouble) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t == c.trouble {
		return nil
	}
	c.trouble = t
	close(c.changed)
	c.changed = make(chan struct{})
	switch {
	case t == Absent:
		c.stop()
		c.stop = nil
	case c.stop == nil:
		lis, err := listen(c.address)
		if err != nil {
			return fmt.Errorf("collectortest: %w", err)
		}
		c.address = lis.Addr().String()
		c.stop = c.serve(lis)
	}
	return nil
}

// Close stops it.
func (c *Collector) Close() { _ = c.Suffer(Absent) }

func listen(address string) (lis net.Listener, err error) {
	for late := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if lis, err = net.Listen("tcp", address); err == nil || time.Now().After(late) {
			return lis, err
		}
	}
}

// serve starts serving; what it gives ends that and waits.
func (c *Collector) serve(lis net.Listener) (stop func()) {
	ended := make(chan struct{})
	if c.protocol == "grpc" {
		srv := grpc.NewServer()
		tracev1.RegisterTraceServiceServer(srv, traceService{Collector: c})
		metricsv1.RegisterMetricsServiceServer(srv, metricsService{Collector: c})
		logsv1.RegisterLogsServiceServer(srv, logsService{Collector: c})
		go func() {
			defer close(ended)
			_ = srv.Serve(lis)
		}()
		return func() { srv.Stop(); <-ended }
	}
	srv := &http.Server{Handler: http.HandlerFunc(c.overHTTP), ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(ended)
		_ = srv.Serve(lis)
	}()
	return func() { _ = srv.Close(); <-ended }
}

// take takes an export with so many spans, as its trouble has it.
func (c *Collector) take(ctx context.Context, spans int) error {
	c.mu.Lock()
	trouble, changed := c.trouble, c.changed
	c.mu.Unlock()
	var answer <-chan time.Time
	switch trouble {
	case Absent, Failing:
		return errUnavailable
	case Slow:
		timer := time.NewTimer(Delay)
		defer timer.Stop()
		answer = timer.C
		fallthrough
	case Hanging:
		select {
		case <-answer:
		case <-changed:
			return errUnavailable
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.spans.Add(int64(spans))
	return nil
}
