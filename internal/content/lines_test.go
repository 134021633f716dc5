package content

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// allLines reads lines until there is an error, which it asks for twice.
func allLines(t *testing.T, r io.Reader, maxLine int) ([]string, error) {
	t.Helper()
	l := NewLines(r, maxLine)
	var lines []string
	for {
		line, err := l.Next()
		if err == nil {
			lines = append(lines, string(line))
			continue
		}
		if line, again := l.Next(); line != nil || again == nil || again.Error() != err.Error() {
			t.Fatalf("after the error %v Next gives %q, %v", err, line, again)
		}
		return lines, err
	}
}

// readers gives input in every way that a Reader may: whole, in two pieces
// parted at each position, byte by byte, and with the end beside the last byte.
func readers(input string) map[string]io.Reader {
	all := map[string]io.Reader{
		"whole":         strings.NewReader(input),
		"whole and EOF": iotest.DataErrReader(strings.NewReader(input)),
		"bytes":         iotest.OneByteReader(strings.NewReader(input)),
		"bytes and EOF": iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(input))),
		"with gaps":     &choppy{rest: []byte(input), sizes: []byte{0, 3, 0, 1}},
	}
	for i := range input {
		all["parted after "+input[:i]] = io.MultiReader(strings.NewReader(input[:i]), strings.NewReader(input[i:]))
	}
	return all
}

// choppy gives rest in pieces of the given sizes, over and over. One of 0 is an
// empty read, but never two at once.
type choppy struct {
	rest  []byte
	sizes []byte
	turn  int
	empty bool
}

func (c *choppy) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	size := len(c.rest)
	if len(c.sizes) > 0 {
		size = int(c.sizes[c.turn%len(c.sizes)])
		c.turn++
	}
	if size == 0 && c.empty {
		size = 1
	}
	c.empty = size == 0
	n := copy(b[:min(size, len(b))], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// endless gives text over and over and counts the bytes.
type endless struct {
	text string
	n    int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		c := copy(b[n:], e.text[e.n%len(e.text):])
		n += c
		e.n += c
	}
	return n, nil
}

func TestLines(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for _, tc := range []struct {
		name, input string
		want        []string
	}{
		{"nothing", "", nil},
		{"LF", "a\nb\n", []string{"a", "b"}},
		{"CR", "a\rb\r", []string{"a", "b"}},
		{"CRLF", "a\r\nb\r\n", []string{"a", "b"}},
		{"no newline at the end", "a\nb", []string{"a", "b"}},
		{"no newline at all", "ab", []string{"ab"}},
		{"one LF", "\n", []string{""}},
		{"one CR", "\r", []string{""}},
		{"one CRLF", "\r\n", []string{""}},
		{"empty lines", "\n\na\n\n", []string{"", "", "a", ""}},
		{"LF CR is two", "a\n\rb", []string{"a", "", "b"}},
		{"CR CR LF is two", "a\r\r\nb", []string{"a", "", "b"}},
		{"CR LF LF is two", "a\r\n\nb", []string{"a", "", "b"}},
		{"CR LF CR LF is two", "\r\n\r\n", []string{"", ""}},
		{"mixed", "a\rb\nc\r\nd\re", []string{"a", "b", "c", "d", "e"}},
		{"other separators are text", "a\vb\fc\u0085d\u2028e\x00f\n", []string{"a\vb\fc\u0085d\u2028e\x00f"}},
		{"bytes are not mended", "\xef\xbb\xbf\xff\n\xe2\x82", []string{"\xef\xbb\xbf\xff", "\xe2\x82"}},
		{"spaces stay", " a \t\n ", []string{" a \t", " "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range readers(tc.input) {
				if got, err := allLines(t, r, 100); err != io.EOF || !slices.Equal(got, tc.want) {
					t.Errorf("%q: %q, %v, want %q", how, got, err, tc.want)
				}
			}
		})
	}
	t.Run("long", func(t *testing.T) {
		want := []string{long, "a", long[1:], long[:4096], long[:4095], "", long}
		for _, ending := range []string{"\n", "\r", "\r\n"} {
			input := strings.Join(want, ending)
			for _, size := range []byte{0, 1, 7, 255} {
				r := &choppy{rest: []byte(input), sizes: []byte{size}}
				if got, err := allLines(t, r, len(long)); err != io.EOF || !slices.Equal(got, want) {
					t.Errorf("ended by %q in pieces of %d: %d lines, %v, want %d", ending, size, len(got), err, len(want))
				}
			}
		}
	})
}

func TestLinesLimit(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		maxLine     int
		want        []string
		tooLarge    bool
	}{
		{"just fits", "abc\nabc\r\nabc\rabc", 3, []string{"abc", "abc", "abc", "abc"}, false},
		{"LF", "a\nabcd\nb\n", 3, []string{"a"}, true},
		{"CR", "a\rabcd\rb\r", 3, []string{"a"}, true},
		{"no newline", "a\nabcd", 3, []string{"a"}, true},
		{"zero takes empty lines", "\n\r\r\n", 0, []string{"", "", ""}, false},
		{"zero", "\na", 0, []string{""}, true},
		{"less than zero is zero", "\na", -1, []string{""}, true},
		{"no limit", "a\nabcd", int(^uint(0) >> 1), []string{"a", "abcd"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range readers(tc.input) {
				got, err := allLines(t, r, tc.maxLine)
				if errors.Is(err, fault.ResponseTooLarge) != tc.tooLarge || !tc.tooLarge && err != io.EOF || !slices.Equal(got, tc.want) {
					t.Errorf("%q: %q, %v, want %q and too large %t", how, got, err, tc.want, tc.tooLarge)
				}
			}
		})
	}
}

func TestLinesLimitMessage(t *testing.T) {
	_, err := NewLines(strings.NewReader("123456"), 5).Next()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.ResponseTooLarge || e.Wire != fault.Answered ||
		!strings.Contains(e.Message, "line of more than 5 bytes: use framing BYTES") {
		t.Errorf("a line of 6 bytes gives %#v", err)
	}
}

// A line without end costs no more than the limit.
func TestLinesBuffer(t *testing.T) {
	for _, maxLine := range []int{0, 10, 4095, 4096, 4097, 10_000, 1 << 20} {
		most := max(4096, maxLine+1)
		r := &endless{text: "x"}
		l := NewLines(r, maxLine)
		if line, err := l.Next(); !errors.Is(err, fault.ResponseTooLarge) {
			t.Errorf("limit %d: an endless line gives %d bytes, %v", maxLine, len(line), err)
		}
		if r.n > most || len(l.buf) > most {
			t.Errorf("limit %d: %d bytes were read into a buffer of %d, want %d at most", maxLine, r.n, len(l.buf), most)
		}
	}
}

// What has arrived is given before more is read.
func TestLinesAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []string // each is written, and then its lines are read
		want  [][]string
	}{
		{"LF", []string{"a\n", "b\n"}, [][]string{{"a"}, {"b"}}},
		{"CRLF", []string{"a\r\n", "b\r\n"}, [][]string{{"a"}, {"b"}}},
		{"CR", []string{"a\r", "b\r"}, [][]string{{"a"}, {"b"}}},
		{"CR and then its LF", []string{"a\r", "\nb\r", "\n", "\n"}, [][]string{{"a"}, {"b"}, {}, {""}}},
		{"two at once", []string{"a\nb\rc", "\n"}, [][]string{{"a", "b"}, {"c"}}},
		{"in pieces", []string{"a", "b", "\r", "\n\r"}, [][]string{{}, {}, {"ab"}, {""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // which ends a Next that waits in vain
				r, write := stepwise(len(tc.steps))
				l := NewLines(r, 100)
				for i, step := range tc.steps {
					write <- step
					for _, want := range tc.want[i] {
						if got, err := l.Next(); err != nil || string(got) != want {
							t.Fatalf("after %q: %q, %v, want %q", tc.steps[:i+1], got, err, want)
						}
					}
				}
				close(write)
				if got, err := l.Next(); err != io.EOF {
					t.Errorf("at the end: %q, %v, want EOF", got, err)
				}
			})
		})
	}
}

// stepwise gives a reader that blocks but for what is sent, until that is closed.
func stepwise(steps int) (io.Reader, chan<- string) {
	r, w := io.Pipe()
	c := make(chan string, steps)
	go func() {
		for s := range c {
			_, _ = io.WriteString(w, s)
		}
		_ = w.Close()
	}()
	return r, c
}

func TestLinesReadErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name, input string
		err         error
		want        []string
	}{
		{"at once", "", broken, nil},
		{"a torn line", "a\nb", broken, []string{"a"}},
		{"between lines", "a\nb\n", broken, []string{"a", "b"}},
		{"after CR", "a\r", broken, []string{"a"}},
		{"an unexpected end", "a\nb", io.ErrUnexpectedEOF, []string{"a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"after":  io.MultiReader(strings.NewReader(tc.input), iotest.ErrReader(tc.err)),
				"beside": iotest.DataErrReader(io.MultiReader(strings.NewReader(tc.input), iotest.ErrReader(tc.err))),
			} {
				if got, err := allLines(t, r, 100); err != tc.err || !slices.Equal(got, tc.want) {
					t.Errorf("%s the bytes: %q, %v, want %q, %v", how, got, err, tc.want, tc.err)
				}
			}
		})
	}
}

// idle gives nothing, and counts how often.
type idle int

func (i *idle) Read([]byte) (int, error) {
	*i++
	return 0, nil
}

func TestLinesNoProgress(t *testing.T) {
	var r idle
	got, err := allLines(t, io.MultiReader(strings.NewReader("a\nb"), &r), 100)
	if err != io.ErrNoProgress || !slices.Equal(got, []string{"a"}) || r != 100 {
		t.Errorf("%q, %v after %d reads, want [a], %v after 100", got, err, r, io.ErrNoProgress)
	}
}

func TestLinesAllocations(t *testing.T) {
	for _, text := range []string{"hello\n", "hello\r", "hello\r\n", "\n", strings.Repeat("x", 9000) + "\r\n"} {
		l := NewLines(&endless{text: text}, 10_000)
		next := func() {
			if _, err := l.Next(); err != nil {
				t.Fatal(err)
			}
		}
		next() // makes the buffer
		if got := testing.AllocsPerRun(1000, next); got != 0 {
			t.Errorf("a line of %d bytes costs %v allocations, want 0", len(text), got)
		}
	}
}

// naiveLines is what Lines must give, from the whole input at once.
func naiveLines(input []byte, maxLine int) (lines []string, tooLarge bool) {
	input = bytes.ReplaceAll(input, []byte("\r\n"), []byte("\n"))
	input = bytes.ReplaceAll(input, []byte("\r"), []byte("\n"))
	all := strings.Split(string(input), "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	for _, line := range all {
		if len(line) > maxLine {
			return lines, true
		}
		lines = append(lines, line)
	}
	return lines, false
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\nc\rd"), []byte{1}, 10)
	f.Add([]byte("\r\n\n\r\r\n"), []byte{1, 0, 2}, 1)
	f.Add([]byte("a\r"), []byte{}, 0)
	f.Add(bytes.Repeat([]byte("0123456789abcdef\r\n"), 600), []byte{255, 3}, 16)
	f.Add(append(bytes.Repeat([]byte("x"), 9000), "\ny"...), []byte{255}, 9000)
	f.Fuzz(func(t *testing.T, input, sizes []byte, maxLine int) {
		maxLine = max(0, min(maxLine, 1<<20))
		want, tooLarge := naiveLines(input, maxLine)
		got, err := allLines(t, &choppy{rest: bytes.Clone(input), sizes: sizes}, maxLine)
		if !slices.Equal(got, want) {
			t.Fatalf("the lines of %q are %q, want %q", input, got, want)
		}
		if errors.Is(err, fault.ResponseTooLarge) != tooLarge || !tooLarge && err != io.EOF {
			t.Fatalf("the end of %q is %v, want too large %t", input, err, tooLarge)
		}
		if text := strings.NewReplacer("\r", "", "\n", "").Replace(string(input)); !tooLarge && strings.Join(got, "") != text {
			t.Fatalf("the lines of %q together are %q", input, got)
		}
	})
}

func BenchmarkLines(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"20_LF", strings.Repeat("x", 19) + "\n"},
		{"100_LF", strings.Repeat("x", 99) + "\n"},
		{"100_CR", strings.Repeat("x", 99) + "\r"},
		{"100_CRLF", strings.Repeat("x", 98) + "\r\n"},
		{"64Ki_LF", strings.Repeat("x", 64<<10-1) + "\n"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			l := NewLines(&endless{text: strings.Repeat(bm.text, 1+4096/len(bm.text))}, 1<<20)
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
