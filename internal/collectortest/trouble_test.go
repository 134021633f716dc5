package collectortest

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

const (
	// calls are enough to fill the queue many times over.
	calls = 600
	// most is a loose bound of memory, in MiB, and grace is that of `serve`.
	most  = 250
	grace = 25 * time.Second
)

var (
	protocols = []string{"http/protobuf", "grpc"}
	signals   = []string{"traces", "metrics", "logs"}
)

func start(t *testing.T, protocol string, trouble Trouble) *Collector {
	t.Helper()
	c, err := Start(protocol, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	suffer(t, c, trouble)
	return c
}

func suffer(t *testing.T, c *Collector, trouble Trouble) {
	t.Helper()
	if err := c.Suffer(trouble); err != nil {
		t.Fatal(err)
	}
}

// settle waits until each span was taken or is counted as lost. What was on its way when
// the collector broke off may be both: nobody knows.
func settle(s *service, c *Collector) (lost int64) {
	s.t.Helper()
	s.until(func() (bool, string) {
		lost = s.lost("traces")
		return lost+c.Spans() >= s.spans(), fmt.Sprintf("of %d spans %d are lost and %d taken", s.spans(), lost, c.Spans())
	})
	return lost
}

// finish makes some last calls and stops, with them on their way.
func finish(s *service) {
	s.t.Helper()
	s.call(20)
	peak := s.peak()
	took := s.stop()
	if took > grace {
		s.t.Errorf("it took %s to stop, more than its grace of %s", took, grace)
	}
	if peak > most {
		s.t.Errorf("its peak is %d MiB, want %d at most", peak, most)
	}
	s.t.Logf("peak RSS %d MiB, stopped in %s", peak, took.Round(time.Millisecond))
}

// TestWell is the control: nothing is lost, and every span is there.
func TestWell(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := start(t, protocol, None)
			s := serve(t, c, "OTEL_BSP_MAX_QUEUE_SIZE=100000", "OTEL_EXPORTER_OTLP_TIMEOUT=60000", "OTEL_BSP_EXPORT_TIMEOUT=60000")
			s.call(calls)
			if lost := settle(s, c); lost != 0 {
				t.Errorf("%d spans are lost", lost)
			}
			finish(s)
			if got, want := c.Spans(), s.spans(); got != want {
				t.Errorf("%d spans were taken, want %d: those of the last calls too", got, want)
			}
			for _, signal := range signals {
				if n := s.count("telemetry cannot be sent", signal); n != 0 {
					t.Errorf("%s: the log speaks of trouble %d times", signal, n)
				}
			}
		})
	}
}

// TestTroubles: whatever ails the collector, calls are answered, each span that it did
// not take is counted, and the log has one line of it for each signal.
func TestTroubles(t *testing.T) {
	for _, protocol := range protocols {
		for _, trouble := range []Trouble{Absent, Hanging, Failing} {
			t.Run(fmt.Sprint(protocol, " ", trouble), func(t *testing.T) {
				t.Parallel()
				c := start(t, protocol, trouble)
				s := serve(t, c)
				s.call(calls)
				for _, signal := range signals {
					s.await(`"level":"WARN","msg":"telemetry cannot be sent","signal":"` + signal + `","error":"(?:[^"\\]|\\.)+","lost":[1-9]`)
				}
				s.call(calls)
				if lost := settle(s, c); lost != s.spans() || c.Spans() > 0 {
					t.Errorf("%d of %d spans are lost: how did the others get there?", lost, s.spans())
				}
				for _, signal := range signals {
					if n := s.lost(signal); n == 0 {
						t.Errorf("%s: none are counted as lost", signal)
					}
				}
				finish(s)
				for _, signal := range signals {
					if n := s.count("telemetry cannot be sent", signal); n != 1 {
						t.Errorf("%s: the log speaks of trouble %d times, want once:\n%s", signal, n, s.text())
					}
				}
			})
		}
	}
}

// TestSlow: of more spans than the collector takes, those that there is no room for are
// lost and counted, and the others get there.
func TestSlow(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := start(t, protocol, Slow)
			s := serve(t, c, "OTEL_EXPORTER_OTLP_TIMEOUT=60000", "OTEL_BSP_EXPORT_TIMEOUT=60000", "OTEL_BLRP_EXPORT_TIMEOUT=60000", "OTEL_METRIC_EXPORT_TIMEOUT=60000")
			s.call(calls)
			s.await(`"msg":"telemetry cannot be sent","signal":"traces","error":"more of it is made than the collector takes"`)
			if lost := settle(s, c); lost == 0 || lost+c.Spans() != s.spans() {
				t.Errorf("of %d spans %d are lost and %d taken, want some of each, and none both", s.spans(), lost, c.Spans())
			}
			finish(s)
		})
	}
}

// TestBack: a collector that was away for a while: the log says once that
// there is trouble and once, with how much was lost, that there is none any more.
func TestBack(t *testing.T) {
	for _, protocol := range protocols {
		for _, trouble := range []Trouble{Absent, Hanging, Failing} {
			t.Run(fmt.Sprint(protocol, " ", trouble), func(t *testing.T) {
				t.Parallel()
				c := start(t, protocol, None)
				s := serve(t, c)
				s.call(10)
				settle(s, c)
				suffer(t, c, trouble)
				s.call(calls)
				for _, signal := range []string{"traces", "metrics"} { // lines of the log are few
					s.await(`"msg":"telemetry cannot be sent","signal":"` + signal + `"`)
				}
				lost := settle(s, c)
				suffer(t, c, None)
				s.until(func() (bool, string) {
					s.call(1)
					return s.count("telemetry is sent again", "traces") == 1 && s.count("telemetry is sent again", "metrics") == 1, "it is not sent again"
				})
				m := s.await(`"level":"INFO","msg":"telemetry is sent again","signal":"traces","lost":([0-9]+)`)
				after := settle(s, c)
				if said, _ := strconv.ParseInt(m[1], 10, 64); said < lost || said != after {
					t.Errorf("the log says that %d spans were lost, want %d, of which %d before it was back", said, after, lost)
				}
				finish(s)
				for _, signal := range []string{"traces", "metrics"} {
					if n, again := s.count("telemetry cannot be sent", signal), s.count("telemetry is sent again", signal); n != 1 || again != 1 {
						t.Errorf("%s: the log speaks of trouble %d times and of its end %d times, want once each:\n%s", signal, n, again, s.text())
					}
				}
			})
		}
	}
}
