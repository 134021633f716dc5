package secret

import (
	"strings"
	"testing"
)

// FuzzVaultAnswer: whatever a vault says, there is a document or an error, and a
// document's values are text that was in the answer.
func FuzzVaultAnswer(f *testing.F) {
	for _, body := range []string{
		kv(`{"k":"x","n":1,"b":true,"o":{},"l":[],"z":null}`), kv(`{"k":"\ud83d"}`), kv(`null`), `{"data":{"data":{},"metadata":{}}}`,
		`{"data":null}`, `{"auth":{"client_token":"x","lease_duration":60,"renewable":true}}`, `{"data":{"ttl":60,"renewable":false}}`, `{"a":1,"a":2}`, ``, ` `,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a := answer{200, body}
		d, err := a.document()
		if err == nil && d.version == 0 || err != nil && d.fields != nil {
			t.Errorf("version %d with %d fields and %v", d.version, len(d.fields), err)
		}
		for key, field := range d.fields {
			if text := field.value.Reveal(); field.bad == nil && len(text) > len(body) || field.bad != nil && text != "" {
				t.Errorf("%q: %q, %v", key, text, field.bad)
			}
			if v, err := d.get(slotKey{key: key}); err == nil && strings.ContainsAny(v.Reveal(), "\r\n\x00") {
				t.Errorf("%q: a control character in %q", key, v.Reveal())
			}
		}
		if token, lease, _, err := a.grant(); err == nil && lease < 0 || strings.ContainsAny(token.Reveal(), "\r\n\x00") {
			t.Errorf("a grant of %s", lease)
		}
		if ttl, _, err := a.token(); err == nil && ttl < 0 {
			t.Errorf("a token of %s", ttl)
		}
		_ = (&vault{}).missing(a)
	})
}
