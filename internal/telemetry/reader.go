package telemetry

import (
	"context"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// metricSender collects metrics every so often and sends them. It stands for the
// SDK's PeriodicReader, which tells OpenTelemetry's global handler of every collection
// that the end of the service interrupts.
type metricSender struct {
	out      *outlet
	exporter sdkmetric.Exporter
	reader   *sdkmetric.ManualReader
	timeout  time.Duration

	stop context.CancelFunc
	done chan struct{}

	turn chan struct{} // has room for one: whose turn it is to collect
	data metricdata.ResourceMetrics
}

func newMetricSender(exporter sdkmetric.Exporter, out *outlet, env environment) *metricSender {
	ctx, stop := context.WithCancel(context.Background())
	s := &metricSender{
		out: out, exporter: exporter, stop: stop, done: make(chan struct{}), turn: make(chan struct{}, 1),
		reader:  sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(exporter.Temporality), sdkmetric.WithAggregationSelector(exporter.Aggregation)),
		timeout: milliseconds(env.number("OTEL_METRIC_EXPORT_TIMEOUT", 30_000)),
	}
	go s.run(ctx, milliseconds(env.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000)))
	return s
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (s *metricSender) run(ctx context.Context, every time.Duration) {
	defer close(s.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if ctx.Err() == nil {
				s.send(ctx)
			}
		}
	}
}

// send collects and sends once, unless ctx ends while another does.
func (s *metricSender) send(ctx context.Context) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.out.send(ctx, 1, func(ctx context.Context) error {
		if err := s.reader.Collect(ctx, &s.data); err != nil {
			return err
		}
		return s.exporter.Export(ctx, &s.data)
	})
}

// shutdown sends what there is a last time.
func (s *metricSender) shutdown(ctx context.Context) {
	s.stop()
	<-s.done
	s.send(ctx)
	s.out.shutdown(ctx, s.exporter.Shutdown)
}
