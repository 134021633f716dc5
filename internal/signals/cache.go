package signals

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// mostSets bounds how many sets of attributes are remembered for one key's kind; what
// is beyond them is made anew each time. OpenTelemetry bounds the series themselves.
const mostSets = 4096

// mostOfOne bounds how many sets one upstream has in a metric. Those who call it choose
// methods and ports, and it chooses statuses: without a bound it would use up the series
// of all others.
const mostOfOne = 200

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

	// Where owner is set, that of which of has mostOfOne sets is told by what rest leaves
	// of a key: what policy says.
	owner func(K) string
	rest  func(K) K
	of    map[string]int
}

func newCache[K comparable](of func(K) []attribute.KeyValue) *cache[K] {
	return &cache[K]{sets: map[K]*options{}, make: of}
}

// shared bounds how many sets each owner has.
func (c *cache[K]) shared(owner func(K) string, rest func(K) K) *cache[K] {
	c.owner, c.rest, c.of = owner, rest, map[string]int{}
	return c
}

func (c *cache[K]) get(key K) *options {
	c.mu.RLock()
	known := c.sets[key]
	full := c.owner != nil && c.of[c.owner(key)] >= mostOfOne
	c.mu.RUnlock()
	if known != nil {
		return known
	}
	if full {
		if rest := c.rest(key); rest != key {
			return c.get(rest)
		}
	}
	set := metric.WithAttributeSet(attribute.NewSet(c.make(key)...))
	made := &options{record: []metric.RecordOption{set}, add: []metric.AddOption{set}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.sets[key]; !there && len(c.sets) < mostSets {
		c.sets[key] = made
		if c.owner != nil {
			c.of[c.owner(key)]++
		}
	}
	return made
}
