package telemetry

import (
	"errors"
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	s := newScrubber(env(map[string]string{
		"OTEL_EXPORTER_OTLP_HEADERS":  "authorization=Bearer%20sesame-open,x-scope-orgid=1,x-key=open-sesame-is-so-long",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/key-in-path", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces",
		"OTEL_EXPORTER_OTLP_LOGS_HEADERS": "authorization=Basic bWU6aHVudGVyMg==,x-odd=qu%22ote",
	}))
	for in, want := range map[string]string{
		"401: what is Bearer sesame-open?":                        "401: what is [redacted]?",
		"401: sesame-open":                                        "401: [redacted]",
		"403 Basic bWU6aHVudGVyMg== is me":                        "403 [redacted] is me",
		"403: password hunter2 is wrong":                          "403: password [redacted] is wrong",
		`got "qu\"ote"`:                                           `got "[redacted]"`,
		"failed to send to https://c/key-in-path/v1/metrics: 401": "failed to send to https://c/[redacted]/v1/metrics: 401",
		"failed to send to http://c/v1/traces: 401":               "failed to send to http://c/v1/traces: 401",
		"dial tcp 127.0.0.1:4317: refused":                        "dial tcp 127.0.0.1:4317: refused",
		"an answer\nof two\r\n lines \xff":                        "an answer of two lines ?",
		"Bearer tokens are for Basic occasions.":                  "Bearer tokens are for Basic occasions.",
	} {
		if got := s.text(errors.New(in)); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{
		"open-sesame-is-so-wrong", `open-sesame-is\u002dso-long`, "open%2Dsesame%2dis%2Dso%2Dlong", "open&#45;sesame&#x2d;is-so-long", "open-sesame-is\n-so-long", "esame-is-so-long",
		"6f70656e2D736573616d652d69732d736f2d6c6f6e67", "at 06f70656e2d736573616d652d69732d736f2d6c6f6e67", "b3Blbi1zZXNhbWUtaXMtc28tbG9uZw==", "key:a3Blbi1zZXNhbWUtaXMtc28tbG9uZw", "b3Blbi1zZXNhbWU\r\ntaXMtc28tbG9uZw",
		strings.Repeat("-", 290) + "open-sesame-is-so-long"[:20], "%73%65%73%61%6d%65-open",
	} {
		if got := s.text(errors.New("401: " + in + ", is it?")); got != untold {
			t.Errorf("%q becomes %q, want %q", in, got, untold)
		}
	}
	for _, in := range []string{"your key that ends in long", "so-long", strings.Repeat(".", maxQuoted) + "open-sesame-is-so-wrong"} {
		if got := s.text(errors.New(in)); got == untold || strings.Contains(got, "sesame") {
			t.Errorf("%q becomes %q", in, got)
		}
	}
	if got := s.text(errors.New(strings.Repeat("ä", 1000))); len(got) > maxError+4 {
		t.Errorf("%d bytes are left of a long error", len(got))
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]int{
		"connection refused":                                                                            5,
		"OTLP partial success: odd (2 spans rejected)":                                                  2,
		"OTLP partial success: odd (1) (2 spans rejected)":                                              2,
		"OTLP partial success: fine (0 logs rejected)":                                                  0,
		"OTLP partial success: odd (many spans rejected)":                                               5,
		"an answer that quotes (0 spans rejected)":                                                      5,
		"failed to upload metrics: OTLP partial success: empty message (9 metric data points rejected)": 5,
	} {
		if got := refused(errors.New(text), 5); got != want {
			t.Errorf("%q: %d of 5 are lost, want %d", text, got, want)
		}
	}
}
