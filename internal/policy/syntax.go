package policy

import (
	"sort"
	"strconv"
	"strings"
)

// syntax notes what keeps text from being YAML.
func (d *document) syntax(text []byte, err error) {
	begins, noticed := faultyLines(text, err)
	for _, line := range []int{noticed, begins} {
		if tab := tabInIndent(d.lines[line-1]); tab >= 0 {
			d.tear(position{line: line, column: tab + 1}, "a tab cannot indent YAML: use spaces")
			return
		}
	}
	reason := "not valid YAML: " + wordsOf(err)
	if noticed > begins && noticed < len(d.lines) {
		reason += "; noticed on line " + strconv.Itoa(noticed)
	}
	d.tear(position{line: begins}, reason)
}

// tabInIndent gives where a tab stands before what a line says, or -1.
func tabInIndent(line string) int {
	said := strings.TrimLeft(line, " \t")
	if said == "" {
		return -1
	}
	return strings.IndexByte(line[:len(line)-len(said)], '\t')
}

// wordsOf gives the reader's message with a hint.
func wordsOf(err error) string {
	_, text := cutLine(err)
	for _, h := range []struct{ part, words string }{
		{"unknown anchor", "a value that begins with * is an alias: put it in quotes"}, // the name may be half a password
		{"mapping values are not allowed", "put a value that holds `: ` in quotes, and indent keys of one level alike"},
		{"could not find expected ':'", "write `key: value`, and indent keys of one level alike"},
		{"did not find expected key", "indent keys of one level alike, and put quotes round a whole value"},
		{"did not find expected '-' indicator", "indent what belongs together alike"},
		{"did not find expected ','", "close the bracket"},
		{"did not find expected node content", "close the bracket, or put the value in quotes"},
		{"found unexpected end of stream", "close the quote"},
		{"cannot start any token", "put a value that begins with @, ` or % in quotes"},
	} {
		switch {
		case !strings.Contains(text, h.part):
		case h.part == "unknown anchor":
			return h.words
		default:
			return text + ": " + h.words
		}
	}
	return text
}

// cutLine cuts the line from the reader's message; 0: it gives none.
func cutLine(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if number, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
		if n, err := strconv.Atoi(number); err == nil {
			return n, rest
		}
	}
	return 0, text
}

// faultyLines gives the line on which the reader gave up, and the one on which
// begins what it was then reading. The reader itself names neither reliably: here
// the text is read again, cut short after ever fewer lines. The fault is noticed
// on the first line with which it is the same, and begins behind the last with
// which there is none. For a large file the reader's word must do.
func faultyLines(text []byte, err error) (begins, noticed int) {
	ends := lineEnds(text)
	const most, budget = 1 << 20, 32 << 20 // bytes
	if len(text) > most {
		line, _ := cutLine(err)
		line = min(max(line, 1), len(ends))
		return line, line
	}
	fault := func(lines int) error {
		if lines == 0 {
			return nil
		}
		_, _, err := readYAML(text[:ends[lines-1]])
		return err
	}
	noticed = 1 + sort.Search(len(ends)-1, func(i int) bool {
		got := fault(i + 1)
		return got != nil && got.Error() == err.Error()
	})
	sound, torn, step := noticed-1, noticed, 1
	for range budget / max(len(text), 1<<10) {
		if fault(sound) == nil {
			break
		}
		torn, sound, step = sound, max(sound-step, 0), step*2
	}
	begins = sound + 1 + sort.Search(torn-sound-1, func(i int) bool { return fault(sound+1+i) != nil })
	return begins, noticed
}

// lineEnds gives where each line of text ends, its line feed included.
func lineEnds(text []byte) (ends []int) {
	for i, b := range text {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		ends = append(ends, len(text))
	}
	return ends
}
