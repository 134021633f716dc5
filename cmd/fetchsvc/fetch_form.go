package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// formArg is one --form, or with literal one --form-string.
type formArg struct {
	value   string
	literal bool
}

// parseForm reads curl's -F: NAME=VALUE, NAME=@FILE[,FILE…], NAME=<FILE, each
// with ;type=, ;filename= and ;headers= behind it. Where curl skips what it does
// not understand, with a warning, this is an error.
func parseForm(args []formArg, in *inputs) ([]*fetchsvcv1.Part, error) {
	var parts []*fetchsvcv1.Part
	total := 0
	for _, arg := range args {
		name, value, ok := strings.Cut(arg.value, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--form %q: write NAME=VALUE, NAME=@FILE or NAME=<FILE", arg.value)
		}
		p := formParser{name: name, rest: value, in: in}
		if arg.literal {
			p.parts = []*fetchsvcv1.Part{textPart(name, value)}
		} else if err := p.parse(); err != nil {
			return nil, fmt.Errorf("--form %q: %w", arg.value, err)
		}
		for _, part := range p.parts {
			total += len(part.GetData()) + len(part.GetText())
		}
		parts = append(parts, p.parts...)
	}
	return parts, checkSize(total)
}

func textPart(name, text string) *fetchsvcv1.Part {
	if !utf8.ValidString(text) {
		return &fetchsvcv1.Part{Name: name, Content: &fetchsvcv1.Part_Data{Data: []byte(text)}}
	}
	return &fetchsvcv1.Part{Name: name, Content: &fetchsvcv1.Part_Text{Text: text}}
}

// formParser reads what stands behind `NAME=`.
type formParser struct {
	name, rest string
	in         *inputs
	parts      []*fetchsvcv1.Part
}

func (p *formParser) parse() error {
	switch {
	case strings.HasPrefix(p.rest, "@"):
		for more := true; more; more = strings.HasPrefix(p.rest, ",") {
			p.rest = p.rest[1:]
			if err := p.file(); err != nil {
				return err
			}
		}
		return nil
	case strings.HasPrefix(p.rest, "<"):
		p.rest = p.rest[1:]
		path, err := p.word(";")
		if err != nil {
			return err
		}
		content, err := p.in.read(path)
		if err != nil {
			return err
		}
		p.parts = append(p.parts, &fetchsvcv1.Part{Name: p.name, Content: &fetchsvcv1.Part_Data{Data: content}})
	default:
		value, err := p.word(";")
		if err != nil {
			return err
		}
		p.parts = append(p.parts, textPart(p.name, value))
	}
	return p.params(";")
}

// file reads one FILE of `@FILE,FILE`. RFC 7578 section 4.3 sends several as
// parts of one name; curl's multipart/mixed is deprecated there.
func (p *formParser) file() error {
	path, err := p.word(";,")
	if err != nil {
		return err
	}
	content, err := p.in.read(path)
	if err != nil {
		return err
	}
	filename := filepath.Base(path)
	p.parts = append(p.parts, &fetchsvcv1.Part{
		Name: p.name, Filename: &filename, Content: &fetchsvcv1.Part_Data{Data: content},
	})
	return p.params(";,")
}

// word reads up to one of the ends, or what stands in double quotes, where a
// backslash escapes a quote and itself.
func (p *formParser) word(ends string) (string, error) {
	if strings.HasPrefix(p.rest, `"`) {
		var out strings.Builder
		for i := 1; i < len(p.rest); i++ {
			switch c := p.rest[i]; {
			case c == '\\' && i+1 < len(p.rest) && (p.rest[i+1] == '\\' || p.rest[i+1] == '"'):
				i++
				out.WriteByte(p.rest[i])
			case c == '"':
				p.rest = p.rest[i+1:]
				if p.rest != "" && !strings.ContainsAny(p.rest[:1], ends) {
					return "", fmt.Errorf("%q stands behind the closing quote: put a semicolon between", p.rest)
				}
				return out.String(), nil
			default:
				out.WriteByte(c)
			}
		}
		return "", fmt.Errorf("the quote is not closed")
	}
	end := strings.IndexAny(p.rest, ends)
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word, nil
}

// params reads the `;type=…;filename=…;headers=…` of the last part.
func (p *formParser) params(ends string) error {
	part := p.parts[len(p.parts)-1]
	inType := false
	for strings.HasPrefix(p.rest, ";") {
		key, value, _ := strings.Cut(strings.TrimLeft(p.rest[1:], " "), "=")
		quoted := strings.HasPrefix(value, `"`)
		p.rest = value
		word, err := p.word(ends)
		if err != nil {
			return err
		}
		switch {
		case key == "type":
			if part.ContentType, err = mediaType(word); err != nil {
				return err
			}
			inType = true
			continue
		case key == "filename":
			part.Filename = &word
		case key == "headers":
			name, content, ok := strings.Cut(word, ":")
			if !ok {
				return fmt.Errorf("headers=%q: write \"NAME: VALUE\"", word)
			}
			part.Headers = append(part.Headers, field(strings.TrimSpace(name), strings.TrimSpace(content)))
		case inType && word != "" && !strings.ContainsAny(key, "; "): // a parameter of the type, such as charset
			if quoted {
				word = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
			}
			part.ContentType += "; " + key + "=" + word
			continue
		default:
			return fmt.Errorf("behind a semicolon stands type=, filename= or headers=, not %q: put the value in double quotes, or use --form-string", key)
		}
		inType = false
	}
	return nil
}

// mediaType looks only as closely as tells a content type from a slip.
func mediaType(s string) (string, error) {
	s = strings.TrimSpace(s)
	major, minor, _ := strings.Cut(s, "/")
	if major == "" || minor == "" || strings.ContainsAny(s, " \t\r\n") {
		return "", fmt.Errorf("type=%s is not a media type: write such as text/plain", s)
	}
	return s, nil
}
