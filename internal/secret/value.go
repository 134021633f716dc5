// Package secret reads the values that prove who we are (passwords, tokens,
// private keys) from where they are kept, and follows them when they change.
//
// A [Value] cannot be printed, logged or marshalled by accident; Reveal is the
// only way out of it, so that a search for Reveal finds every place a secret
// goes. Use it for nothing that is not secret: what is hidden here is hidden
// from whoever debugs, too.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands wherever a value would.
const redacted = "REDACTED"

// Value is one secret. The zero Value is empty. It is not comparable and no map
// key. Safe for concurrent use.
type Value struct {
	// A function, because nothing that walks memory by reflection (fmt on an
	// unexported field, a deep printer, an encoder) sees what it holds.
	reveal func() string
}

// NewValue makes a Value of s.
func NewValue(s string) Value { return Value{reveal: func() string { return s }} }

// Reveal gives the secret itself. Hand it to what needs it and keep it nowhere.
func (v Value) Reveal() string {
	if v.reveal == nil {
		return ""
	}
	return v.reveal()
}

// IsZero says that there is nothing in it.
func (v Value) IsZero() bool { return v.reveal == nil || v.reveal() == "" }

// Format answers every verb of fmt, %#v included.
func (Value) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// The rest answers whoever asks without fmt.

// String is for those who ask for a Stringer.
func (Value) String() string { return redacted }

// GoString is for those who ask for a GoStringer.
func (Value) GoString() string { return redacted }

// LogValue is for log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is for encoding/json's map keys, XML and TOML.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is for encoding/json.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML is for YAML.
func (Value) MarshalYAML() (any, error) { return redacted, nil }

// MarshalBinary is for encoding/gob and caches.
func (Value) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// GobEncode is for encoding/gob.
func (Value) GobEncode() ([]byte, error) { return []byte(redacted), nil }

// The interfaces through which a value could leave.
var (
	_ fmt.Formatter  = Value{}
	_ fmt.GoStringer = Value{}
	_ slog.LogValuer = Value{}
)
