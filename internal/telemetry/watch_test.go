package telemetry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestSaidOnce goes through the troubles of a collector.
func TestSaidOnce(t *testing.T) {
	said := &lines{}
	o := newOutlet("traces", 3, slog.New(slog.NewTextHandler(said, nil)), newScrubber(env(nil)))
	defer o.cancel()
	start := time.Now()
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	down := errors.New("connection refused")
	expect := func(step string, want ...string) {
		t.Helper()
		got := strings.Split(strings.TrimSuffix(said.String(), "\n"), "\n")
		said.buf.Reset()
		if got[0] == "" {
			got = nil
		}
		if len(got) != len(want) {
			t.Fatalf("%s: the log says %q, want %q", step, got, want)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) || !strings.Contains(got[i], "signal=traces") {
				t.Errorf("%s: the log says %q, want %q", step, got[i], want[i])
			}
		}
	}

	o.sent(at(0), 5, nil)
	expect("all is well")
	o.sent(at(1), 2, down)
	o.sent(at(2), 3, down)
	expect("down twice", `level=WARN msg="telemetry cannot be sent" signal=traces error="connection refused" lost=2`)
	o.sent(at(3), 4, nil)
	o.sent(at(4), 4, nil)
	expect("up again", `level=INFO msg="telemetry is sent again" signal=traces lost=5`)

	o.sent(at(10), 1, down)
	expect("down again", "lost=6")
	o.sent(at(10), 1, nil)
	expect("and up", "lost=1")
	o.sent(at(10), 1, down)
	o.sent(at(10), 1, nil)
	expect("too soon for another word")
	o.sent(at(11), 1, down)
	expect("a minute later", "lost=8")
	o.sent(at(11), 1, nil)
	expect("and up for good: what was not said counts too", "lost=2")

	o.waiting.Store(0)
	for range 5 {
		o.take() // two more than there is room for
	}
	o.sent(at(20), 3, nil)
	expect("too much", `error="more of it is made than the collector takes" lost=10`)
	o.sent(at(21), 3, errors.New("OTLP partial success: a remark (0 spans rejected)"))
	expect("not too much any more, a remark is no loss", "telemetry is sent again")
	o.sent(at(22), 3, errors.New("OTLP partial success: two are odd (2 spans rejected)"))
	expect("some are refused", "lost=12")
}
