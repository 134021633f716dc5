package signals

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// mostTold is how many sets of attributes a tally tells. OpenTelemetry takes 2,000 with
// the one for the rest; of more it would take others at each collection, and counters
// would run backwards.
const mostTold = 1999

// tally counts by K for a counter that is read when metrics are collected: every call
// adds to it, which costs a look-up and no more. Safe for concurrent use.
type tally[K comparable] struct {
	mu   sync.RWMutex
	sets map[K]*counted
	rest counted // of what is beyond mostTold
	make func(K) []attribute.KeyValue
}

// counted is what was counted of one set of attributes.
type counted struct {
	n  atomic.Int64
	of metric.ObserveOption
}

func newTally[K comparable](of func(K) []attribute.KeyValue) *tally[K] {
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
