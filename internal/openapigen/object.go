package main

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object whose members keep their order, so that readers see
// fields as the .proto files have them and a rerun gives the same bytes.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, v := range []any{m.key, m.value} {
			if j > 0 {
				b.WriteByte(':')
			}
			if err := encode(&b, v); err != nil {
				return nil, err
			}
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// indented gives the object as a text file.
func (o object) indented() ([]byte, error) {
	var raw, out bytes.Buffer
	if err := encode(&raw, o); err != nil {
		return nil, err
	}
	err := json.Indent(&out, raw.Bytes(), "", "  ")
	return out.Bytes(), err
}

// encode writes v and a newline, leaving <, > and & as they are.
func encode(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// ref points to a schema of the document.
func ref(name string) object {
	return object{{"$ref", "#/components/schemas/" + name}}
}
