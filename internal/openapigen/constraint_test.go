package main

import (
	"encoding/json"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
)

func TestBounds(t *testing.T) {
	tests := []struct {
		name string
		got  object
		want string
	}{
		{"none", stringBounds(nil), `{}`},
		{"one byte is one character", stringBounds(&validate.StringRules{MinBytes: proto.Uint64(1)}), `{"minLength":1}`},
		{"five bytes may be two characters", stringBounds(&validate.StringRules{MinBytes: proto.Uint64(5)}), `{"minLength":2}`},
		{"characters before bytes", stringBounds(&validate.StringRules{MaxLen: proto.Uint64(3), MaxBytes: proto.Uint64(9)}), `{"maxLength":3}`},
		{"an upper bound of zero counts", stringBounds(&validate.StringRules{MaxBytes: proto.Uint64(0)}), `{"maxLength":0}`},
		{"bytes whose base64 is padded", bytesBounds(&validate.BytesRules{MaxLen: proto.Uint64(4)}), `{"maxLength":8}`},
		{"bytes whose base64 may stand unpadded", bytesBounds(&validate.BytesRules{MinLen: proto.Uint64(1)}), `{"minLength":2}`},
		{"list", listBounds(&validate.RepeatedRules{MinItems: proto.Uint64(1), MaxItems: proto.Uint64(2)}), `{"minItems":1,"maxItems":2}`},
		{"at most one", choice{fields: []string{"a", "b", "c"}}.rule(),
			`{"not":{"anyOf":[{"required":["a","b"]},{"required":["a","c"]},{"required":["b","c"]}]}}`},
		{"exactly one", choice{fields: []string{"a", "b"}, required: true}.rule(),
			`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.got)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	if got, want := unwrap(" One\n line.\n\n Two.\n"), "One line.\n\nTwo."; got != want {
		t.Errorf("unwrap: got %q, want %q", got, want)
	}
	if got, want := sentence("Uses v1.2 of it. More."), "Uses v1.2 of it"; got != want {
		t.Errorf("sentence: got %q, want %q", got, want)
	}
}
