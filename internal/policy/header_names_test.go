package policy

import (
	"fmt"
	"strings"
	"testing"
)

// TestKeysNeedAHeaderThatArrives: a call that is thought to carry a key is
// repeated.
func TestKeysNeedAHeaderThatArrives(t *testing.T) {
	for _, name := range []string{"host", "Content-Length", "authorization", "Connection", "Transfer-Encoding", "Range"} {
		text := fmt.Sprintf("upstreams: [{name: a, hosts: [a.test], retry: {max_attempts: 2, idempotency_key: {header: %s, generate: true}}}]\n", name)
		if _, err := Parse("p.yaml", []byte(text), Options{}); err == nil || !strings.Contains(err.Error(), "a meaning of its own") {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}
