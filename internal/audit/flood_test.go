package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

func refusal(peer, caller string, kind fault.Kind) *Entry {
	e := FromRefusal(fault.New(kind, "no"), time.Now())
	e.Peer, e.Caller = peer, caller
	return e
}

// tally sums up a log: lines and the calls that they stand for, by outcome.
func tally(t *testing.T, text string) (lines int, calls map[string]int64, peers map[string]int64) {
	t.Helper()
	calls, peers = map[string]int64{}, map[string]int64{}
	for line := range strings.Lines(text) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines++
		calls[e.Outcome] += 1 + e.Suppressed
		peers[e.Peer] += 1 + e.Suppressed
	}
	return lines, calls, peers
}

// TestFloodOfOneSource: its lines do not grow with its calls, and add up to them.
func TestFloodOfOneSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(Config{W: &out, Sample: 1, Chain: true})
		const minutes, perMinute = 10, 6000
		for range minutes * perMinute {
			l.Refuse(refusal("192.0.2.1", "", fault.Unauthenticated))
			time.Sleep(time.Minute / perMinute)
		}
		l.Refuse(refusal("192.0.2.2", "", fault.Unauthenticated)) // another is not drowned
		l.Refuse(refusal("192.0.2.1", "", fault.ForeignOrigin))   // nor is another kind
		if text := out.String(); !strings.Contains(text, "192.0.2.2") || !strings.Contains(text, "FOREIGN_ORIGIN") {
			t.Error("a flood of one source and kind keeps the line of another from being written")
		}
		l.Close()
		lines, calls, _ := tally(t, out.String())
		if most := firstFew + minutes + 1 + 2; lines > most {
			t.Errorf("%d refused calls have %d lines, want at most %d", minutes*perMinute, lines, most)
		}
		if calls["UNAUTHENTICATED"] != minutes*perMinute+1 || calls["FOREIGN_ORIGIN"] != 1 {
			t.Errorf("the lines stand for %v, want %d and 1", calls, minutes*perMinute+1)
		}
		if _, err := Verify(&out, ""); err != nil {
			t.Error(err)
		}
	})
}

// held is how many sources there are, and how many of them are of those that share.
func (f *floods) held() (sources, others int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sources), f.others
}

// TestFloodOfManySources: neither memory nor lines grow with them.
func TestFloodOfManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(Config{W: &out, Sample: 1})
		const sources, each = 20_000, 3
		for n := range sources {
			peer := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()
			for range each {
				l.Refuse(refusal(peer, "", fault.Unauthenticated))
			}
		}
		if n, _ := l.floods.held(); n > maxSources+1 {
			t.Errorf("%d sources are held, want at most %d", n, maxSources+1)
		}
		time.Sleep(window + time.Second)
		synctest.Wait()
		if n, others := l.floods.held(); n != 1 || others != 1 {
			t.Errorf("behind the window %d sources are held, %d of them of those that share; want the one that made a flood", n, others)
		}
		time.Sleep(2 * window)
		synctest.Wait()
		if n, others := l.floods.held(); n != 0 || others != 0 {
			t.Errorf("behind a silent window %d sources are held", n)
		}
		l.Close()
		lines, calls, peers := tally(t, out.String())
		if most := maxSources*each + firstFew + 1; lines > most {
			t.Errorf("%d lines, want at most %d", lines, most)
		}
		if calls["UNAUTHENTICATED"] != sources*each {
			t.Errorf("the lines stand for %v, want %d", calls, sources*each)
		}
		if peers["*"] == 0 {
			t.Error("the line of those that share names one of them")
		}
	})
}

// TestNetworksAreSources: a machine has a /64 of IPv6 to itself.
func TestNetworksAreSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(Config{W: &out})
		for n := range 1000 {
			l.Refuse(refusal(fmt.Sprintf("2001:db8::%x", n+1), "", fault.Unauthenticated))
			l.Refuse(refusal(fmt.Sprintf("2001:db8:0:1::%x", n+1), "", fault.Unauthenticated))
		}
		l.Close()
		if lines, calls, _ := tally(t, out.String()); lines != 2*(firstFew+1) || calls["UNAUTHENTICATED"] != 2000 {
			t.Errorf("%d lines stand for %v; want %d for 2000", lines, calls, 2*(firstFew+1))
		}
	})
}

// TestRareRefusalsAreWhole: who makes no flood has all its lines, at once.
func TestRareRefusalsAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := New(Config{W: &out})
		defer l.Close()
		for n := range 60 {
			l.Refuse(refusal("192.0.2.1", "billing", fault.InvalidRequest))
			if got := strings.Count(out.String(), "\n"); got != n+1 {
				t.Fatalf("behind %d calls, one in %v, there are %d lines", n+1, window/4, got)
			}
			time.Sleep(window / 4)
		}
	})
}

// TestDenialsAreWhole: what policy denies to a caller is never left out.
func TestDenialsAreWhole(t *testing.T) {
	var out bytes.Buffer
	l := New(Config{W: &out})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for range 50 {
				e := FromRefusal(fault.New(fault.PolicyDenied, "no"), time.Now())
				e.Peer, e.Caller = "192.0.2.1", "billing"
				l.Write(e)
			}
		})
	}
	group.Wait()
	l.Close()
	if lines, _, _ := tally(t, out.String()); lines != 1000 {
		t.Errorf("1000 denials have %d lines", lines)
	}
}

// TestFloodIsCountedOnce: with many at once, and a Close in between.
func TestFloodIsCountedOnce(t *testing.T) {
	var out bytes.Buffer
	l := New(Config{W: &out})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5000 {
				l.Refuse(refusal("192.0.2.1", "", fault.Unauthenticated))
			}
		})
	}
	group.Wait()
	l.Close()
	if lines, calls, _ := tally(t, out.String()); calls["UNAUTHENTICATED"] != 40_000 || lines != firstFew+1 {
		t.Errorf("%d lines stand for %v, want %d for 40000", lines, calls, firstFew+1)
	}
}
