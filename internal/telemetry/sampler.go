package telemetry

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// samplers are the values of OTEL_TRACES_SAMPLER.
var samplers = []string{
	"always_on", "always_off", "traceidratio",
	"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

// headSampler is one of them.
type headSampler struct {
	share      float64
	parentless bool // the caller's decision does not count
}

// newHeadSampler reads variables that were checked.
func newHeadSampler(env environment) headSampler {
	name := strings.ToLower(env.value("OTEL_TRACES_SAMPLER"))
	root, parentBased := strings.CutPrefix(name, "parentbased_")
	s := headSampler{share: 1, parentless: name != "" && !parentBased}
	switch root {
	case "always_off":
		s.share = 0
	case "traceidratio":
		if arg, err := strconv.ParseFloat(env.value("OTEL_TRACES_SAMPLER_ARG"), 64); err == nil {
			s.share = arg
		}
	}
	return s
}

// sample decides for a trace that begins here; of a caller's trace it goes by the
// caller's decision, unless told not to.
func (s headSampler) sample(id trace.TraceID, parent, sampled bool) bool {
	if parent && !s.parentless {
		return sampled
	}
	return Share(id, s.share)
}
