package fetch

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
)

// placeKey gives a hop its idempotency key (draft-ietf-httpapi-idempotency-key-
// header): the caller's, or one made for the call, the same on every attempt.
func (c *Call) placeKey(h *hop) {
	name := h.retry.IdempotencyHeader
	if h.method != c.req.Method { // a redirect made it a GET: what the key is for was sent
		delete(h.header, name)
		return
	}
	if _, given := h.header[name]; given {
		return
	}
	if c.key == "" {
		if !h.retry.NeedsKey(h.method) {
			return
		}
		c.key = newKey()
	}
	h.header = maps.Clone(h.header)
	if h.header == nil {
		h.header = http.Header{}
	}
	h.header[name] = []string{c.key}
}

// keyed says that the hop carries an idempotency key.
func (h *hop) keyed() bool {
	_, given := h.header[h.retry.IdempotencyHeader]
	return given
}

// newKey is a random UUID (RFC 9562 section 5.4).
func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
