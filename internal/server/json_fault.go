package server

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

var (
	jsonPlace   = regexp.MustCompile(`\(line (\d+):(\d+)\): `)
	jsonUnknown = regexp.MustCompile(`unknown field "([^"]*)"`)
	// protoPrefix begins protojson's messages; its space varies on purpose.
	protoPrefix = regexp.MustCompile(`^proto:[\s\x{00a0}]*(?:syntax error[\s\x{00a0}]*)?`)
)

// jsonFault turns protojson's error, which is text with a line and a column,
// into a violation that names the field, the reason and the fix.
func jsonFault(err error, text []byte, md protoreflect.MessageDescriptor) *fault.Error {
	reason := err.Error()
	if strings.Contains(reason, "max recursion depth") { // only a Value can nest
		return fault.Invalid("json", "the value nests too deep: send it as json_text")
	}
	place := jsonPlace.FindStringSubmatch(reason)
	reason = clip(protoPrefix.ReplaceAllString(jsonPlace.ReplaceAllString(reason, ""), ""), 300)
	if place == nil {
		return fault.Invalid("body", reason+": "+oneObject)
	}
	line, _ := strconv.Atoi(place[1])
	column, _ := strconv.Atoi(place[2])
	where := " (line " + place[1] + ", column " + place[2] + ")"
	path := jsonPath(text, line, column)
	if len(path) == 0 {
		return fault.Invalid("body", reason+where+": "+oneObject)
	}
	owner, field := descend(md, path)
	name := clip(joinPath(path), 100)
	switch {
	case jsonUnknown.MatchString(reason) && owner != nil:
		return fault.Invalid(name, "there is no such field"+where+": "+fieldsOf(owner))
	case strings.Contains(reason, "oneof"):
		return fault.Invalid(name, "another member of the same choice is given already"+where+": give one of them only, such as one kind of body")
	case field != nil:
		return fault.Invalid(name, reason+where+": "+typeHint(field))
	default:
		return fault.Invalid(name, reason+where)
	}
}

const oneObject = `send one JSON object such as {"url":"https://example.com/"}`

// jsonPath gives the path of the key or value at a place of a JSON text: names
// of keys and decimal indexes.
func jsonPath(text []byte, line, column int) []string {
	at := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	for ; column > 1 && at < len(text); column-- { // protojson counts characters
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	type level struct {
		array bool
		index int
		key   string
		value bool // the next token is the key's value
	}
	var stack []level
	for {
		tok, err := dec.Token()
		past := err != nil || int(dec.InputOffset()) > at
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			delim, isDelim := tok.(json.Delim)
			closing := isDelim && (delim == '}' || delim == ']')
			switch key, isKey := tok.(string); {
			case closing:
			case top.array:
				top.index++
			case !top.value && isKey:
				top.key, top.value = key, true
			default:
				top.value = false
			}
		}
		if past {
			break
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{})
		case json.Delim('['):
			stack = append(stack, level{array: true, index: -1})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
	}
	var path []string
	for _, l := range stack {
		switch {
		case l.array:
			path = append(path, strconv.Itoa(max(l.index, 0)))
		case l.key != "":
			path = append(path, l.key)
		}
	}
	return path
}

// joinPath writes `headers[2].name`.
func joinPath(path []string) string {
	var b strings.Builder
	for i, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			b.WriteString("[" + step + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}

// descend follows path from md and gives the message that the last step is in,
// and its field if there is one.
func descend(md protoreflect.MessageDescriptor, path []string) (owner protoreflect.MessageDescriptor, field protoreflect.FieldDescriptor) {
	for _, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			continue
		}
		if field != nil {
			md = field.Message()
		}
		if md == nil || strings.HasPrefix(string(md.FullName()), "google.protobuf.") {
			return nil, field
		}
		if field = md.Fields().ByName(protoreflect.Name(step)); field == nil {
			field = md.Fields().ByJSONName(step)
		}
		if field == nil {
			return md, nil
		}
	}
	return md, field
}

// fieldsOf lists what a message has.
func fieldsOf(md protoreflect.MessageDescriptor) string {
	names := make([]string, md.Fields().Len())
	for i := range names {
		names[i] = string(md.Fields().Get(i).Name())
	}
	return "the fields are " + strings.Join(names, ", ")
}

// typeHint says what a field takes.
func typeHint(f protoreflect.FieldDescriptor) string {
	what := "a string"
	switch {
	case f.Enum() != nil:
		names := make([]string, 0, f.Enum().Values().Len())
		for i := 1; i < f.Enum().Values().Len(); i++ {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		what = "one of " + strings.Join(names, ", ")
	case f.Message() != nil && f.Message().FullName() == "google.protobuf.Duration":
		what = `seconds as a string with the suffix s, such as "0.5s" or "300s"`
	case f.Message() != nil:
		what = "an object of " + strings.TrimPrefix(fieldsOf(f.Message()), "the fields are ")
	case f.Kind() == protoreflect.BytesKind:
		what = "bytes in base64"
	case f.Kind() == protoreflect.BoolKind:
		what = "true or false"
	case f.Kind() != protoreflect.StringKind:
		what = "a whole number"
	}
	if f.IsList() {
		what = "a list, each " + what
	}
	return "it takes " + what
}
