package server

import (
	"net/http/httptest"
	"slices"
	"testing"

	"google.golang.org/grpc/metadata"
)

// TestOnlyTraceContextComesIn: no other header of a REST request becomes metadata,
// whatever grpc-gateway's own matcher would make of it (CVE-2026-18972).
func TestOnlyTraceContextComesIn(t *testing.T) {
	r := httptest.NewRequest("POST", "/v1/fetch", nil)
	for _, name := range []string{
		"Grpc-Metadata-X-Caller", "Grpc-Metadata-Traceparent", "Grpcgateway-Authorization", "X-Caller", "Authorization", "Cookie", "Host",
		"Fetchsvc-Authorization", "Grpc-Timeout", "X-Forwarded-For", "Cdn-Loop", "User-Agent", "Content-Type", "Grpc-Status-Details-Bin",
		"traceparent", "TraceState", "BAGGAGE",
	} {
		r.Header.Set(name, "forged")
	}
	md, _ := metadata.FromOutgoingContext(annotate(r))
	var got []string
	for key := range md {
		got = append(got, key)
	}
	slices.Sort(got)
	if want := []string{"baggage", "traceparent", "tracestate"}; !slices.Equal(got, want) {
		t.Errorf("the headers that come in are %q, want %q", got, want)
	}
	for _, name := range []string{"Grpc-Metadata-X-Caller", "Authorization", "X-Caller", ""} {
		if key, ok := incomingHeader(name); ok || key != "" {
			t.Errorf("%s comes in as %q", name, key)
		}
	}
}
