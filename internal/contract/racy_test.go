package contract

import (
	"slices"
	"strings"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestRacyFailures: where the upstream's end races with the request, more than
// one answer is right, and each says what it left behind.
func TestRacyFailures(t *testing.T) {
	w := newWorld(t)
	wantsCert := testpeer.TLSOpts{ClientCA: w.ca.Pool()}
	wantsCertOn1 := testpeer.TLSOpts{ClientCA: w.ca.Pool(), HTTP1Only: true}
	tls := func(t *testing.T, opts testpeer.TLSOpts) string {
		return testpeer.EchoTLS(t, w.ca.Issue(testpeer.CertOpts{}), opts)
	}
	plain := func(script testpeer.Script) func(t *testing.T) string {
		return func(t *testing.T) string { return testpeer.Raw(t, script).URL }
	}
	for name, c := range map[string]struct {
		url   func(t *testing.T) string
		kinds []string // "": a response
	}{
		"reset on accept":           {plain(testpeer.ResetOnAccept), []string{"CONNECTION_RESET"}},
		"close on accept":           {plain(testpeer.CloseOnAccept), []string{"CONNECTION_RESET"}},
		"banner before any request": {plain(testpeer.SpeaksFirst), []string{"BAD_RESPONSE", "CONNECTION_RESET"}},
		"early answer, then reset":  {plain(testpeer.EarlyAnswerReset), []string{"", "CONNECTION_RESET", "BODY_CUT_SHORT"}},
		"client certificate wanted": {func(t *testing.T) string { return tls(t, wantsCert) }, []string{"TLS_HANDSHAKE_FAILED", "CONNECTION_RESET"}},
		"client certificate wanted, HTTP/1.1": {func(t *testing.T) string { return tls(t, wantsCertOn1) },
			[]string{"TLS_HANDSHAKE_FAILED", "CONNECTION_RESET"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, through := range map[string]door{"gRPC": w.overGRPC, "REST": w.overREST} {
				a := through(t, &fetchsvcv1.FetchRequest{
					Method: "PUT", Url: c.url(t), Body: &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 1<<20)}, As: fetchsvcv1.FetchRequest_BYTES,
				}, strings.NewReplacer())
				if !slices.Contains(c.kinds, a.Kind) || len(a.faults) > 0 {
					t.Errorf("over %s it ends with %q (%s), faults %q; want one of %q", name, a.Kind, a.Message, a.faults, c.kinds)
				}
				unsent := strings.Contains(a.Attempts[len(a.Attempts)-1], " UNSENT ")
				if a.Code == "UNAVAILABLE" && !unsent {
					t.Errorf("over %s it ends with UNAVAILABLE after %q, want UNKNOWN", name, a.Attempts)
				}
			}
		})
	}
}
