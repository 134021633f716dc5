package content

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// naiveUTF8 is "UTF-8 decode" of the Encoding standard, sections 6 and 8.1.1,
// step by step.
func naiveUTF8(in []byte) string {
	in = bytes.TrimPrefix(in, []byte{0xEF, 0xBB, 0xBF})
	var out strings.Builder
	var point rune
	seen, needed := 0, 0
	lower, upper := byte(0x80), byte(0xBF)
	for i := 0; i < len(in); i++ {
		b := in[i]
		if needed == 0 {
			switch {
			case b <= 0x7F:
				out.WriteByte(b)
			case b >= 0xC2 && b <= 0xDF:
				needed, point = 1, rune(b&0x1F)
			case b >= 0xE0 && b <= 0xEF:
				if b == 0xE0 {
					lower = 0xA0
				}
				if b == 0xED {
					upper = 0x9F
				}
				needed, point = 2, rune(b&0xF)
			case b >= 0xF0 && b <= 0xF4:
				if b == 0xF0 {
					lower = 0x90
				}
				if b == 0xF4 {
					upper = 0x8F
				}
				needed, point = 3, rune(b&0x7)
			default:
				out.WriteRune(0xFFFD)
			}
			continue
		}
		if b < lower || b > upper {
			point, seen, needed, lower, upper = 0, 0, 0, 0x80, 0xBF
			i-- // "restore byte to ioQueue"
			out.WriteRune(0xFFFD)
			continue
		}
		lower, upper = 0x80, 0xBF
		point = point<<6 | rune(b&0x3F)
		if seen++; seen == needed {
			out.WriteRune(point)
			point, seen, needed = 0, 0, 0
		}
	}
	if needed != 0 {
		out.WriteRune(0xFFFD)
	}
	return out.String()
}

// naiveEvents is section 9.2.6 of the HTML standard, step by step, over the
// whole input and without limits.
func naiveEvents(in []byte) []Event {
	text := strings.ReplaceAll(naiveUTF8(in), "\r\n", "\n")
	lines := strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
	lines = lines[:len(lines)-1] // what has no ending can neither dispatch nor be seen
	var events []Event
	var data, kind, id string
	var retry *int64
	process := func(field, value string) {
		switch field {
		case "event":
			kind = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				n, _ := new(big.Int).SetString(value, 10)
				ms := int64(math.MaxInt64)
				if n.IsInt64() {
					ms = n.Int64()
				}
				retry = &ms
			}
		}
	}
	for _, line := range lines {
		switch {
		case line == "":
			if data == "" {
				kind = ""
				continue
			}
			ev := Event{ID: id, Type: kind, Data: strings.TrimSuffix(data, "\n")}
			if retry != nil {
				ev.Retry, ev.HasRetry = *retry, true
			}
			events = append(events, ev)
			data, kind, retry = "", "", nil
		case strings.HasPrefix(line, ":"):
		case strings.Contains(line, ":"):
			field, value, _ := strings.Cut(line, ":")
			process(field, strings.TrimPrefix(value, " "))
		default:
			process(line, "")
		}
	}
	return events
}

// naiveTooLarge says whether a line, or the known fields between two blank
// lines, have more than maxEvent bytes.
func naiveTooLarge(in []byte, maxEvent int) bool {
	lines, tooLarge := naiveLines(bytes.TrimPrefix(in, []byte(bomUTF8)), maxEvent)
	size := 0
	for _, line := range lines {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "id", "event", "data", "retry":
			if size += len(line); size > maxEvent {
				return true
			}
		case "":
			if line == "" {
				size = 0
			}
		}
	}
	return tooLarge
}

func FuzzEvents(f *testing.F) {
	for _, s := range []string{
		"data: YHOO\ndata: +2\ndata: 10\n\n",
		": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
		"data\n\ndata\ndata\n\ndata:",
		"\ufeffevent: add\r\ndata: 73857293\r\rretry: 10\r\nid: a\x00b\r\n\ndata:\n\n",
		"retry: 9223372036854775808\ndata: \xff\xe2\x82\n\nevent: x\n\ndata: y\n\n",
		"\xef\xbb\nid:\xf0\x9f\x98\x80\xed\xa0\x80\ndata\r\r",
	} {
		f.Add([]byte(s), []byte{1, 0, 7}, 20)
		f.Add([]byte(s), []byte{}, 1000)
	}
	f.Fuzz(func(t *testing.T, input, sizes []byte, maxEvent int) {
		maxEvent = max(0, min(maxEvent, 1<<20))
		want := naiveEvents(input)
		got, err := allEvents(t, &choppy{rest: bytes.Clone(input), sizes: sizes}, len(input))
		if err != io.EOF || !slices.Equal(got, want) {
			t.Fatalf("the events of %q are %+v, %v, want %+v", input, got, err, want)
		}
		tooLarge := naiveTooLarge(input, maxEvent)
		got, err = allEvents(t, &choppy{rest: bytes.Clone(input), sizes: sizes}, maxEvent)
		if errors.Is(err, fault.ResponseTooLarge) != tooLarge || !tooLarge && err != io.EOF {
			t.Fatalf("with a limit of %d the end of %q is %v, want too large %t", maxEvent, input, err, tooLarge)
		}
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || !tooLarge && len(got) != len(want) {
			t.Fatalf("with a limit of %d the events of %q are %+v, want the first of %+v", maxEvent, input, got, want)
		}
	})
}
