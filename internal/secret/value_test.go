package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const canary = "hunter2-canary"

func TestValueDoesNotLeave(t *testing.T) {
	v := NewValue(canary)
	if v.Reveal() != canary || v.IsZero() {
		t.Fatalf("Reveal gives %q, IsZero %v", v.Reveal(), v.IsZero())
	}
	type holder struct {
		Name   string
		Public Value
		hidden Value // methods of unexported fields are out of fmt's reach
		Ptr    *Value
	}
	h := holder{"n", v, v, &v}
	_ = h.hidden
	forms := map[string]any{
		"value": v, "pointer": &v, "struct": h, "struct pointer": &h, "slice": []Value{v},
		"map": map[string]Value{"k": v}, "any": any(v), "array": [1]Value{v}, "error": fmt.Errorf("with %v", v),
	}
	for name, form := range forms {
		for verb := '!'; verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3", "#+20.10"} {
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, form); leaks(got) {
					t.Errorf("%s with %q leaks: %s", name, format, got)
				}
			}
		}
		if got := fmt.Sprint(form) + fmt.Sprintln(form); leaks(got) {
			t.Errorf("%s printed leaks: %s", name, got)
		}
	}
	for _, format := range []string{"%v", "%s", "%q", "%x", "%#v", "%+v", "%d"} {
		if got := fmt.Sprintf(format, v); got != redacted {
			t.Errorf("%s gives %s, want %s", format, got, redacted)
		}
	}
}

// leaks finds the canary as text, and as the numbers and hexadecimals that some
// verbs make of text.
func leaks(got string) bool {
	hex := fmt.Sprintf("%x", canary)
	return strings.Contains(got, canary) || strings.Contains(strings.ToLower(got), hex) ||
		strings.Contains(got, fmt.Sprintf("%d", []byte(canary))[1:20])
}

func TestValueDoesNotMarshal(t *testing.T) {
	type holder struct {
		Value Value             `json:"value" yaml:"value" xml:"value"`
		Map   map[string]Value  `json:"map" yaml:"map" xml:"-"`
		Ptr   *Value            `json:"ptr" yaml:"ptr" xml:"ptr"`
		List  []Value           `json:"list" yaml:"list" xml:"list"`
		Attr  Value             `json:"-" yaml:"-" xml:"attr,attr"`
		Plain map[string]string `json:"-" yaml:"-" xml:"-"`
	}
	v := NewValue(canary)
	h := holder{Value: v, Map: map[string]Value{"k": v}, Ptr: &v, List: []Value{v}, Attr: v}
	for name, encode := range map[string]func(any) ([]byte, error){
		"json": json.Marshal,
		"yaml": yaml.Marshal,
		"xml":  xml.Marshal,
		"gob": func(x any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(x)
			return b.Bytes(), err
		},
	} {
		got, err := encode(h)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if leaks(string(got)) || !strings.Contains(string(got), redacted) {
			t.Errorf("%s gives %s, want %s and nothing of the value", name, got, redacted)
		}
	}
}

func TestValueIsNotLogged(t *testing.T) {
	var b bytes.Buffer
	v := NewValue(canary)
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		log := slog.New(h)
		log.Info("m", "v", v, "p", &v, "in", struct{ V, w Value }{v, v}, slog.Group("g", "v", v))
		log.With("v", v).Info(fmt.Sprint("m ", v))
	}
	if got := b.String(); leaks(got) || !strings.Contains(got, redacted) {
		t.Errorf("the log has %s", got)
	}
}

func TestZeroValue(t *testing.T) {
	var v Value
	if !v.IsZero() || v.Reveal() != "" || v.String() != redacted {
		t.Errorf("zero: IsZero %v, Reveal %q, String %q", v.IsZero(), v.Reveal(), v.String())
	}
}
