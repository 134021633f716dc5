package signals

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// mostTold is how many sets of attributes a tally tells, beside the one for the rest.
// Of more OpenTelemetry would take others at each collection, and counters would run
// backwards.
const mostTold = telemetry.MaxSeries - 1

// tally counts by K for a counter that is read when metrics are collected: every call
// adds to it, which costs a look-up and no more. Safe for concurrent use.
type tally[K tallied] struct {
	mu   sync.RWMutex
	sets map[K]*counted
	rest counted // of what is beyond mostTold
	make func(K) []attribute.KeyValue
}

// tallied is what things are counted by.
type tallied interface {
	comparable
	// of gives the upstream that it is about; empty: none.
	of() string
}

// counted is what was counted of one set of attributes.
type counted struct {
	n  atomic.Int64
	of metric.ObserveOption
}

func newTally[K tallied](of func(K) []attribute.KeyValue) *tally[K] {
	t := &tally[K]{sets: map[K]*counted{}, make: of}
	t.rest.of = metric.WithAttributes(attribute.Bool("otel.metric.overflow", true)) // as OpenTelemetry calls it
	return t
}

// add counts one more of key.
func (t *tally[K]) add(key K) {
	t.mu.RLock()
	one := t.sets[key]
	t.mu.RUnlock()
	if one == nil {
		one = t.begin(key)
	}
	one.n.Add(1)
}

func (t *tally[K]) begin(key K) *counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.sets[key]
	switch {
	case one != nil:
		return one
	case len(t.sets) >= mostTold:
		return &t.rest
	}
	one = &counted{of: metric.WithAttributeSet(attribute.NewSet(t.make(key)...))}
	t.sets[key] = one
	return one
}

// prune forgets the upstreams that are not kept.
func (t *tally[K]) prune(keep map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.sets {
		if up := key.of(); up != "" && !keep[up] {
			delete(t.sets, key)
		}
	}
}

// tell gives the counts to whoever collects.
func (t *tally[K]) tell(to metric.Observer, counter metric.Int64Observable) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, one := range t.sets {
		to.ObserveInt64(counter, one.n.Load(), one.of)
	}
	if n := t.rest.n.Load(); n > 0 {
		to.ObserveInt64(counter, n, t.rest.of)
	}
}
