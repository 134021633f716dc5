package signals

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// mostSets bounds how many sets of attributes are remembered for one key's kind; what
// is beyond them is made anew each time. OpenTelemetry bounds the series themselves.
const mostSets = 4096

// options are a set of attributes as instruments take them, made once: a set that is
// made for each measurement costs more than the measurement.
type options struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

// cache remembers the options of each K. Safe for concurrent use.
type cache[K comparable] struct {
	mu   sync.RWMutex
	sets map[K]*options
	make func(K) []attribute.KeyValue
}

func newCache[K comparable](of func(K) []attribute.KeyValue) *cache[K] {
	return &cache[K]{sets: map[K]*options{}, make: of}
}

func (c *cache[K]) get(key K) *options {
	c.mu.RLock()
	known := c.sets[key]
	c.mu.RUnlock()
	if known != nil {
		return known
	}
	set := metric.WithAttributeSet(attribute.NewSet(c.make(key)...))
	made := &options{record: []metric.RecordOption{set}, add: []metric.AddOption{set}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sets) < mostSets {
		c.sets[key] = made
	}
	return made
}
