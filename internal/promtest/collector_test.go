package promtest

import (
	"maps"
	"slices"
	"testing"
)

// TestCollector: each pipeline names only components that are there, every one is
// used, and memory is limited first.
func TestCollector(t *testing.T) {
	var c struct {
		Extensions, Receivers, Processors, Exporters map[string]any
		Service                                      struct {
			Extensions []string
			Pipelines  map[string]struct{ Receivers, Processors, Exporters []string }
		}
	}
	strict(t, collectorFile, &c)
	signals := slices.Sorted(maps.Keys(c.Service.Pipelines))
	if want := []string{"logs", "metrics", "traces"}; !slices.Equal(signals, want) {
		t.Errorf("the pipelines are %q, want %q", signals, want)
	}
	unused := map[string]bool{}
	for kind, there := range map[string]map[string]any{"receiver": c.Receivers, "processor": c.Processors, "exporter": c.Exporters, "extension": c.Extensions} {
		for name := range there {
			unused[kind+" "+name] = true
		}
	}
	use := func(in, kind string, names []string, there map[string]any) {
		if len(names) == 0 {
			t.Errorf("%s has no %s", in, kind)
		}
		for _, n := range names {
			if _, ok := there[n]; !ok {
				t.Errorf("%s names the %s %q, which there is none of", in, kind, n)
			}
			delete(unused, kind+" "+n)
		}
	}
	use("the service", "extension", c.Service.Extensions, c.Extensions)
	for signal, p := range c.Service.Pipelines {
		use(signal, "receiver", p.Receivers, c.Receivers)
		use(signal, "processor", p.Processors, c.Processors)
		use(signal, "exporter", p.Exporters, c.Exporters)
		if n := len(p.Processors); n < 2 || p.Processors[0] != "memory_limiter" || p.Processors[n-1] != "batch" {
			t.Errorf("%s has the processors %q, want memory_limiter first and batch last", signal, p.Processors)
		}
	}
	for name := range unused {
		t.Errorf("the %s is not used", name)
	}
	otlp, _ := c.Receivers["otlp"].(map[string]any)["protocols"].(map[string]any)
	if got := slices.Sorted(maps.Keys(otlp)); !slices.Equal(got, []string{"grpc", "http"}) {
		t.Errorf("OTLP comes by %q, want grpc and http", got)
	}
}
