package content

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

// awkward has what each way of writing escapes.
const awkward = `s3cr3t/+="<&'>\ é😀:key`

// spellings are ways in which an upstream gives a text back, written by the
// standard library where it can.
func spellings(v string) map[string]string {
	quoted, _ := json.Marshal(v)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	every, units := "", ""
	for _, b := range []byte(v) {
		every += fmt.Sprintf("%%%02x", b)
		if b < 0x80 {
			units += fmt.Sprintf(`\u%04X`, b)
		} else {
			units += string([]byte{b})
		}
	}
	out := map[string]string{
		"as it is": v, "a form": url.QueryEscape(v), "a path": url.PathEscape(v), "percent, low": strings.ToLower(url.QueryEscape("x"))[1:] + every,
		"JSON": strings.Trim(string(quoted), `"`), "JSON, slashes": strings.ReplaceAll(strings.Trim(strings.TrimSpace(plain.String()), `"`), "/", `\/`),
		"JSON, units": units, "HTML": html.EscapeString(v),
		"hex": hex.EncodeToString([]byte(v)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(v))),
	}
	for name, enc := range map[string]*base64.Encoding{"std": base64.StdEncoding, "raw std": base64.RawStdEncoding, "url": base64.URLEncoding, "raw url": base64.RawURLEncoding} {
		for before := range 4 {
			out[fmt.Sprint("base64 ", name, before)] = enc.EncodeToString([]byte("user"[:before] + v + "}"))
		}
	}
	coded := base64.StdEncoding.EncodeToString([]byte("u:" + v + "!"))
	out["base64 in a form"], out["base64, slashes"] = url.QueryEscape(coded), strings.ReplaceAll(coded, "/", `\/`)
	for name, order := range map[string]binary.AppendByteOrder{"UTF-16LE": binary.LittleEndian, "UTF-16BE": binary.BigEndian} {
		var wide []byte
		for _, unit := range utf16.Encode([]rune(v)) {
			wide = order.AppendUint16(wide, unit)
		}
		out[name] = string(wide)
	}
	if strings.Trim(v, unreserved) == "" {
		delete(out, "JSON, units") // nobody escapes letters
		delete(out, "percent, low")
	}
	return out
}

// scrubbed says that nothing of the text can be read out of got.
func scrubbed(t *testing.T, name, got, spelled string) {
	t.Helper()
	if len(got) != len(spelled) {
		t.Errorf("%s: %d bytes became %d", name, len(spelled), len(got))
	}
	if !strings.Contains(got, "*****") || strings.Contains(got, spelled) {
		t.Errorf("%s: %q became %q", name, spelled, got)
	}
}

// TestScrubSpellings: in every spelling, whole, and split at every byte.
func TestScrubSpellings(t *testing.T) {
	for _, v := range []string{"ghp_16C7e42F292c6912E7", awkward, "sixsix"} {
		s := NewScrubber([]string{v})
		for name, spelled := range spellings(v) {
			text := "before " + spelled + ", behind"
			b := []byte(text)
			if n := s.Bytes(b); n != 1 {
				t.Errorf("%s of %q: %d found in %q", name, v, n, text)
			}
			scrubbed(t, name, string(b), text)
			if !bytes.HasPrefix(b, []byte("before ")) || !bytes.HasSuffix(b, []byte(", behind")) {
				t.Errorf("%s: what is around it became %q", name, b)
			}
			if clean, n := s.Text(text); clean != string(b) || n != 1 {
				t.Errorf("%s: Text gives %q, %d", name, clean, n)
			}
			for at := range text {
				r := s.Reader(io.MultiReader(strings.NewReader(text[:at]), strings.NewReader(text[at:])))
				got, err := io.ReadAll(r)
				if err != nil || string(got) != string(b) || r.Found() != 1 {
					t.Fatalf("%s, split at %d: got %q, %d found (%v), want %q", name, at, got, r.Found(), err, b)
				}
			}
		}
	}
}

// TestScrubReaders: whatever way the bytes come, and with an error behind them.
func TestScrubReaders(t *testing.T) {
	broken := errors.New("broken")
	s := NewScrubber([]string{"secret-one", "secret-one-longer", "onetwo"})
	const text, want = "secret-one-longer secret-on secret-onetwo secret-one", "***************** secret-on ************* **********"
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "with its error": iotest.DataErrReader,
	} {
		for _, end := range []error{io.EOF, broken} {
			r := s.Reader(wrap(io.MultiReader(strings.NewReader(text), iotest.ErrReader(end))))
			got, err := io.ReadAll(r)
			if string(got) != want || err != nil && err != end || end == broken && err == nil || r.Found() != 3 {
				t.Errorf("%s, %v: got %q, %d found (%v)", name, end, got, r.Found(), err)
			}
		}
	}
}

// TestScrubCut: what was cut off may end within a text. A few bytes say nothing.
func TestScrubCut(t *testing.T) {
	s := NewScrubber([]string{"the-token-canary"})
	for text, want := range map[string]string{
		"see the-token-can": "see *************", "see the-t": "see the-t", "see the-token": "see *********", "the-token-canary, the-tok": "****************, *******",
		"dGhlLXRva2VuLWNhb": "*****************", "see the-token-candle": "see the-token-candle", "": "",
	} {
		b := []byte(text)
		s.CutBytes(b)
		if string(b) != want {
			t.Errorf("%q became %q, want %q", text, b, want)
		}
		r := s.Reader(iotest.OneByteReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF))))
		if got, err := io.ReadAll(r); string(got) != want || err != io.ErrUnexpectedEOF || (r.Found() > 0) != strings.Contains(want, "*") {
			t.Errorf("%q, broken off, became %q, %d found (%v), want %q", text, got, r.Found(), err, want)
		}
	}
	if got, err := io.ReadAll(s.Reader(strings.NewReader("see the-token"))); string(got) != "see the-token" || err != nil {
		t.Errorf("at its end it became %q (%v)", got, err)
	}
}

// TestScrubHoldsBackLittle: a line that cannot be the beginning of anything goes on
// at once; one that may be waits for what follows.
func TestScrubHoldsBackLittle(t *testing.T) {
	pr, pw := io.Pipe()
	r := NewScrubber([]string{"the-token-canary"}).Reader(pr)
	go func() {
		for _, part := range []string{"data: hello\n\n", "data: the-tok", "ens are\n\n"} {
			_, _ = pw.Write([]byte(part))
		}
		_ = pw.Close()
	}()
	p := make([]byte, 100)
	for _, want := range []string{"data: hello\n\n", "data: ", "the-tokens are\n\n"} {
		if n, err := r.Read(p); string(p[:n]) != want {
			t.Errorf("got %q (%v), want %q", p[:n], err, want)
		}
	}
	if n, err := r.Read(p); n != 0 || err != io.EOF {
		t.Errorf("got %d (%v) at the end", n, err)
	}
}

// TestScrubLearns: a stream may come to have another token.
func TestScrubLearns(t *testing.T) {
	r := NewScrubber([]string{"first-token"}).Reader(io.MultiReader(strings.NewReader("first-token "), strings.NewReader("second-token")))
	p := make([]byte, 64)
	if n, _ := r.Read(p); string(p[:n]) != "*********** " {
		t.Errorf("got %q", p[:n])
	}
	r.Use(NewScrubber([]string{"first-token", "second-token"}))
	if got, err := io.ReadAll(r); string(got) != "************" || err != nil {
		t.Errorf("got %q (%v)", got, err)
	}
}

// TestScrubWhiteSpace: what stands at the ends of a text does not come back from a
// header field.
func TestScrubWhiteSpace(t *testing.T) {
	s := NewScrubber([]string{"the-token \t", "\t another-one"})
	for text, want := range map[string]string{
		"Bearer the-token": "Bearer *********", "the-token \t": "********* \t", "another-one": "***********",
	} {
		if got, n := s.Text(text); n != 1 || got != want {
			t.Errorf("%q became %q, %d found, want %q", text, got, n, want)
		}
	}
	if NewScrubber([]string{"five5   "}) != nil {
		t.Error("white space made a short text a long one")
	}
}

func TestScrubNothing(t *testing.T) {
	if NewScrubber(nil) != nil || NewScrubber([]string{"", "five5"}) != nil {
		t.Error("there is a scrubber for nothing")
	}
	s := NewScrubber([]string{"ghp_16C7e42F292c6912E7", awkward})
	clean := "application/json; charset=utf-8 % \\ & \\u00 %2"
	if got, n := s.Text(clean); got != clean || n != 0 {
		t.Errorf("got %q, %d", got, n)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	text := base64.StdEncoding.EncodeToString(noise) + hex.EncodeToString(noise[:1<<20]) + url.QueryEscape(string(noise[:1<<20]))
	if n := s.Bytes([]byte(text)); n != 0 {
		t.Errorf("%d were found in noise", n)
	}
}

// FuzzScrub: a stream in parts becomes what it becomes as a whole, of the same
// length, and has the text in no spelling.
func FuzzScrub(f *testing.F) {
	f.Add("secret/with+signs", "it is %73ecret%2Fwith%2Bsigns \\u0073ecret\\/with+signs", uint8(3))
	f.Add("abababab", "abababababababab", uint8(1))
	f.Add(awkward, "&#115;3cr3t &amp;#x73;", uint8(7))
	f.Fuzz(func(t *testing.T, v, text string, step uint8) {
		s := NewScrubber([]string{v})
		if s == nil || len(v) > 256 || len(text) > 4096 {
			return // long texts in steps of a byte take long
		}
		text += " " + v + " " + url.QueryEscape(v) + base64.StdEncoding.EncodeToString([]byte(text+v+text))
		whole := []byte(text)
		n := s.Bytes(whole)
		if len(whole) != len(text) || n == 0 || strings.Contains(string(whole), v) && strings.Trim(v, "*") != "" {
			t.Fatalf("%q became %q, %d found", text, whole, n)
		}
		r := s.Reader(&steps{text: text, step: int(step)%64 + 1})
		got, err := io.ReadAll(r)
		if err != nil || string(got) != string(whole) {
			t.Fatalf("in steps of %d %q became %q (%v), as a whole %q", step, text, got, err, whole)
		}
	})
}

// steps gives text in parts of one length.
type steps struct {
	text string
	step int
}

func (s *steps) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(s.step, len(s.text))])
	s.text = s.text[n:]
	return n, nil
}

func BenchmarkScrub(b *testing.B) {
	body := bytes.Repeat([]byte(`{"id": 12345, "name": "someone\n", "url": "https://example.com/a%20b?x=1&amp;y=2"}, `), 800)
	for name, v := range map[string]string{"token": "ghp_16C7e42F292c6912E7abcdefghijklmnop", "password": awkward} {
		s := NewScrubber([]string{v})
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if s.Bytes(body) != 0 {
					b.Fatal("found")
				}
			}
		})
		b.Run(name+"/header", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Text("application/json; charset=utf-8")
			}
		})
		b.Run(name+"/new", func(b *testing.B) {
			for b.Loop() {
				NewScrubber([]string{v})
			}
		})
	}
}
