package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
)

// refusing is an address at which nobody listens.
func refusing(t *testing.T) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	return "http://" + lis.Addr().String()
}

// hanging is a collector that takes connections and never answers.
func hanging(t *testing.T) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				// Connections that the exporter made in vain stay in its pool for 90 s.
				defer context.AfterFunc(t.Context(), func() { _ = c.Close() })()
				_, _ = io.Copy(io.Discard, c) // until the exporter gives up
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = lis.Close(); all.Wait() })
	return "http://" + lis.Addr().String()
}

// TestDeadCollector emits far more than fits: nothing of it blocks, all of it is
// counted, and each signal's trouble is said once.
func TestDeadCollector(t *testing.T) {
	const emitted = 10_000
	for name, where := range map[string]func(*testing.T) string{"refusing": refusing, "hanging": hanging} {
		for _, protocol := range bothProtocols {
			t.Run(name+" "+protocol, func(t *testing.T) {
				tel, said := setup(t, map[string]string{
					"OTEL_EXPORTER_OTLP_ENDPOINT": where(t), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
					"OTEL_BSP_EXPORT_TIMEOUT": "150", "OTEL_BLRP_EXPORT_TIMEOUT": "150", "OTEL_METRIC_EXPORT_TIMEOUT": "150",
				})
				log := slog.New(tel.LogHandler(slog.NewTextHandler(io.Discard, nil)))
				for range emitted {
					tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
					log.Info("line")
					if w := tel.traces.out.waiting.Load(); w > 2048 {
						t.Fatalf("%d spans wait", w)
					}
				}
				tel.Flush(t.Context())
				tel.Flush(t.Context())
				if err := tel.Shutdown(t.Context()); err == nil {
					t.Error("Shutdown says that nothing is lost")
				}
				if lost := tel.Lost(); lost.Traces != emitted || lost.Logs != emitted || lost.Metrics < 2 {
					t.Errorf("%+v are lost, want %d spans and records", lost, emitted)
				}
				if said.count("telemetry cannot be sent") != 3 {
					t.Errorf("the log says %s", said)
				}
			})
		}
	}
}

// TestShutdownIsCutOff has exports that would go on for ten minutes.
func TestShutdownIsCutOff(t *testing.T) {
	const forever = "600000"
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			tel, _ := setup(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": hanging(t), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": forever,
				"OTEL_BSP_EXPORT_TIMEOUT": forever, "OTEL_BLRP_EXPORT_TIMEOUT": forever, "OTEL_METRIC_EXPORT_TIMEOUT": forever,
				"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_BLRP_SCHEDULE_DELAY": "1", "OTEL_METRIC_EXPORT_INTERVAL": "1",
			})
			for range 600 {
				tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
			}
			slog.New(tel.LogHandler(slog.NewTextHandler(io.Discard, nil))).Info("line")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := tel.Shutdown(ctx); err == nil {
				t.Error("Shutdown says that nothing is lost")
			}
			if lost := tel.Lost(); lost.Traces != 600 || lost.Logs != 1 {
				t.Errorf("%+v are lost, want 600 spans and a record", lost)
			}
			tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "late"})
			if lost := tel.Lost(); lost.Traces != 601 {
				t.Errorf("%d spans are lost, want the late one too", lost.Traces)
			}
			if err := tel.Shutdown(ctx); err != nil {
				t.Errorf("a second Shutdown: %v", err)
			}
		})
	}
}

// TestFlushIsCutOff flushes while exports are under way that would go on for ten
// minutes: it ends with its context all the same.
func TestFlushIsCutOff(t *testing.T) {
	const forever = "600000"
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			busy := make(chan struct{}, 1)
			s := (&sink{before: func(ctx context.Context) error {
				select {
				case busy <- struct{}{}:
				default:
				}
				<-ctx.Done()
				return ctx.Err()
			}}).serve(t, protocol)
			tel, _ := setup(t, map[string]string{
				"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": s.url + "/v1/metrics", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": forever,
				"OTEL_METRIC_EXPORT_TIMEOUT": forever, "OTEL_METRIC_EXPORT_INTERVAL": "1",
			})
			<-busy
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			flushed := make(chan struct{})
			go func() {
				defer close(flushed)
				tel.Flush(ctx)
			}()
			select {
			case <-flushed:
			case <-time.After(time.Minute):
				t.Error("Flush waits for the export that was under way")
			}
			_ = tel.Shutdown(ctx)
			<-flushed
		})
	}
}

// TestSlowCollector makes more than the collector takes while it thinks.
func TestSlowCollector(t *testing.T) {
	const emitted, room = 5000, 1024
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			gate := make(chan struct{})
			s := (&sink{before: func(ctx context.Context) error {
				select {
				case <-gate:
				case <-ctx.Done():
				}
				return ctx.Err()
			}}).serve(t, protocol)
			tel, said := setup(t, map[string]string{
				"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": s.url + "/v1/traces", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_MAX_QUEUE_SIZE": "1024",
			})
			for range emitted {
				tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
			}
			close(gate)
			tel.Flush(t.Context())
			if got, lost := len(s.spans()), tel.Lost().Traces; got != room || lost != emitted-room {
				t.Errorf("%d spans came and %d are lost, want %d and %d", got, lost, room, emitted-room)
			}
			tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
			tel.Flush(t.Context())
			if said.count("more of it is made than the collector takes") != 1 || said.count(`telemetry is sent again" signal=traces lost=3976`) != 1 {
				t.Errorf("the log says %s", said)
			}
		})
	}
}

// TestCollectorComesBack fails the first exports.
func TestCollectorComesBack(t *testing.T) {
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			var mu sync.Mutex
			down := true
			s := (&sink{before: func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				if down {
					return errors.New("I have no disk")
				}
				return nil
			}}).serve(t, protocol)
			tel, said := setup(t, map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": s.url + "/v1/logs", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
			log := slog.New(tel.LogHandler(slog.NewTextHandler(io.Discard, nil)))
			for range 3 {
				log.Info("lost")
				tel.Flush(t.Context())
			}
			mu.Lock()
			down = false
			mu.Unlock()
			for range 2 {
				log.Info("kept")
				tel.Flush(t.Context())
			}
			if got := s.records(); len(got) != 2 || tel.Lost().Logs != 3 {
				t.Errorf("%d records came and %d are lost, want 2 and 3", len(got), tel.Lost().Logs)
			}
			if said.count("I have no disk") != 1 || said.count(`telemetry is sent again" signal=logs lost=3`) != 1 {
				t.Errorf("the log says %s", said)
			}
		})
	}
}
