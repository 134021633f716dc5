package contract

import (
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// spanSink keeps every span.
type spanSink struct {
	mu  sync.Mutex
	all []telemetry.Span
}

func (s *spanSink) Tracing() bool                         { return true }
func (s *spanSink) Sample(trace.TraceID, bool, bool) bool { return true }

func (s *spanSink) Emit(one telemetry.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
}

func (s *spanSink) spans() []telemetry.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]telemetry.Span(nil), s.all...)
}

func (s *spanSink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = nil
}
