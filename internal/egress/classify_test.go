package egress

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// TestPeersAreNotQuoted: a peer that answers with what it was sent gets none of it
// into the message, nor into the cause, which is logged.
func TestPeersAreNotQuoted(t *testing.T) {
	const secret = "the-token-canary"
	for name, tt := range map[string]struct{ answer, want string }{
		"no HTTP":       {secret + "\r\n\r\n", "malformed HTTP response"},
		"status":        {"HTTP/1.1 20x " + secret + "\r\n\r\n", "malformed HTTP status code"},
		"status line":   {"HTTP/1.1 " + secret + " OK\r\n\r\n", "malformed HTTP status code"},
		"version":       {"HTTP/" + secret + " 200 OK\r\n\r\n", "malformed HTTP version"},
		"no colon":      {"HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n", "malformed MIME header"},
		"name":          {"HTTP/1.1 200 OK\r\na b" + secret + "\x00: a\r\n\r\n", "malformed MIME header"},
		"first line":    {"HTTP/1.1 200 OK\r\n " + secret + ": a\r\n\r\n", "malformed MIME header initial line"},
		"length":        {"HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n", "bad Content-Length"},
		"lengths":       {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + secret + "\r\n\r\n", "multiple Content-Length headers"},
		"encoding":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n", "unsupported transfer encoding"},
		"encodings":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: " + secret + "\r\n\r\n", "too many transfer encodings"},
		"SSH":           {"SSH-2.0-" + secret + "\r\n\r\n", "(it speaks SSH)"},
		"TLS, an alert": {"\x15\x03\x01\x00\x02\x02\x16" + secret + "\r\n\r\n", "(it speaks TLS: call it by https)"},
	} {
		t.Run(name, func(t *testing.T) {
			peer := testpeer.Raw(t, func(c *testpeer.RawConn) {
				c.ReadRequest()
				c.Write(tt.answer)
				c.Linger()
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, peer.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			res, err := transport.RoundTrip(req)
			if err == nil {
				_ = res.Body.Close()
				t.Fatalf("got %s, want an error", res.Status)
			}
			f := RoundTripFault(t.Context(), err)
			if f.Kind != fault.BadResponse || !strings.Contains(f.Message, tt.want) || strings.Contains(f.Error(), secret) {
				t.Errorf("got %v, want BAD_RESPONSE saying %q without what the peer sent", f, tt.want)
			}
		})
	}
	if f := BodyFault(t.Context(), errors.New(`http2: odd frame "`+secret+`"`), 1, -1); strings.Contains(f.Error(), secret) {
		t.Errorf("got %v", f)
	}
	if f := RoundTripFault(t.Context(), io.EOF); !errors.Is(f, io.EOF) {
		t.Errorf("got %v, which io.EOF is not the cause of", f)
	}
}
