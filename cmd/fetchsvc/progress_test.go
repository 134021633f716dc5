package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressLine(t *testing.T) {
	tests := []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{0, 0, 0, "received 0 B, 0 B/s, 0s"},
		{3 << 20, 0, 1500 * time.Millisecond, "received 3.0 MiB, 2.0 MiB/s, 2s"},
		{0, 100 << 20, time.Second, "  0% [                    ] received 0 B of 100.0 MiB, 0 B/s"},
		{50 << 20, 100 << 20, 10 * time.Second, " 50% [==========          ] received 50.0 MiB of 100.0 MiB, 5.0 MiB/s, 10s left"},
		{100, 100, time.Second, "100% [====================] received 100 B of 100 B, 100 B/s, 0s left"},
		{150, 100, time.Second, "100% [====================] received 150 B of 100 B, 150 B/s"},
	}
	for _, tt := range tests {
		p := &progress{verb: "received", total: tt.total}
		p.add(int(tt.done))
		if got := p.line(tt.took); got != tt.want || len(got) >= 80 {
			t.Errorf("%d of %d in %s: got %q (%d columns), want %q", tt.done, tt.total, tt.took, got, len(got), tt.want)
		}
	}
}

// TestProgress holds that the line is drawn while it is shown, and gone at the
// end.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen strings.Builder
		p := startProgress(&screen, "sent", -1)
		p.add(1)
		time.Sleep(2*redraw + redraw/2)
		p.end()
		p.end()
		if want := "\rsent 1 B, 4 B/s, 0s\x1b[K" + "\rsent 1 B, 2 B/s, 1s\x1b[K" + "\r\x1b[K"; screen.String() != want {
			t.Errorf("got %q, want %q", &screen, want)
		}
		screen.Reset()
		startProgress(&screen, "sent", -1).end()
		if screen.Len() > 0 {
			t.Errorf("a short transfer: got %q, want nothing", &screen)
		}
		var none *progress
		none.add(1)
		none.end()
	})
}

// TestStdoutInterrupted: a pipe that nobody empties does not hold Ctrl-C up.
func TestStdoutInterrupted(t *testing.T) {
	t.Parallel()
	_, full := io.Pipe()
	defer full.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&stdoutSink{ctx: ctx, to: full}).Write([]byte("x")); exitCode(writeError(err)) != exitInterrupted {
		t.Errorf("got %v, want exit code %d", err, exitInterrupted)
	}
}
