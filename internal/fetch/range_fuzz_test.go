package fetch

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// FuzzContentRange: a range that is read is one, and is read as it was written.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{
		"bytes 0-9/10", "bytes 0-9/*", "BYTES 10-10/11", "bytes */10", "bytes 9-0/10", "bytes 0-10/10", "bytes 0-9223372036854775806/*",
		"bytes 0-9223372036854775807/*", "bytes -1-2/3", "bytes 0-1/2/3", "bytes  0-1/2", " bytes 0-1/2", "items 0-1/2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, whole, ok := contentRange([]string{s})
		if !ok {
			return
		}
		if first < 0 || last < first || last+1 <= last || whole != -1 && whole <= last {
			t.Fatalf("%q is %d-%d/%d", s, first, last, whole)
		}
		size := "*"
		if whole >= 0 {
			size = fmt.Sprint(whole)
		}
		if a, b, c, ok := contentRange([]string{fmt.Sprintf("bytes %d-%d/%s", first, last, size)}); !ok || a != first || b != last || c != whole {
			t.Fatalf("%q is %d-%d/%d, and that is %d-%d/%d", s, first, last, whole, a, b, c)
		}
	})
}

// FuzzBadHead: a head that is let through is within its size, and says once how
// long its body is.
func FuzzBadHead(f *testing.F) {
	f.Add("Content-Length", "1", "Content-Length", "2", int64(2), 200)
	f.Add("Transfer-Encoding ", "chunked", "X-A", "b", int64(-1), 200)
	f.Add("X-A\t", "b", "X-A", "c", int64(0), 99)
	f.Fuzz(func(t *testing.T, name, value, second, other string, length int64, status int) {
		h := http.Header{name: {value}}
		h[second] = append(h[second], other)
		trimNames(h)
		res := &http.Response{ProtoMajor: 1, StatusCode: status, Header: h, ContentLength: length}
		if err := badHead(res, 1000); err != nil {
			if err.Kind != fault.BadResponse && err.Kind != fault.ResponseHeaderTooLarge {
				t.Fatalf("the head is refused by %s", err.Kind)
			}
			return
		}
		if len(name)+len(value)+len(second)+len(other) > 1000 || status < 100 || len(h["Content-Length"]) > 1 || len(h["Transfer-Encoding"]) > 0 {
			t.Fatalf("%d %q was let through", status, h)
		}
	})
}
