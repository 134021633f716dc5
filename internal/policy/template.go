package policy

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// placeholders are the names that a template may have.
type placeholders struct {
	names []string
	what  string // that they name: "secret"
	// headers: `header.NAME` is one too.
	headers bool
}

// template reads text in which `${NAME}` stands for something else, and `$$` for
// a dollar sign.
func (c *compiler) template(path, text string, known placeholders) (out Template) {
	var plain strings.Builder
	for rest := text; rest != ""; {
		before, behind, dollar := strings.Cut(rest, "$")
		plain.WriteString(before)
		if !dollar {
			break
		}
		name, after, closed := "", "", false
		if strings.HasPrefix(behind, "{") {
			name, after, closed = strings.Cut(behind[1:], "}")
		}
		switch {
		case strings.HasPrefix(behind, "$"):
			plain.WriteByte('$')
			rest = behind[1:]
			continue
		case !closed:
			c.failf(path, "a `$` begins ${NAME}: write $$ for the sign itself")
			return out
		}
		if plain.Len() > 0 {
			out = append(out, TemplatePart{Text: plain.String()})
			plain.Reset()
		}
		out = append(out, TemplatePart{Name: c.placeholder(path, name, known)})
		rest = after
	}
	if plain.Len() > 0 {
		out = append(out, TemplatePart{Text: plain.String()})
	}
	return out
}

// placeholder reads a name; that of a header becomes canonical.
func (c *compiler) placeholder(path, name string, known placeholders) string {
	header, isHeader := strings.CutPrefix(name, headerPart)
	switch canonical := http.CanonicalHeaderKey(header); {
	case isHeader && known.headers && canonical == "Host":
		c.failf(path, "the host is ${host}")
	case isHeader && known.headers && (!httpguts.ValidHeaderFieldName(header) || slices.Contains(ofFetchsvc, canonical)):
		c.failf(path, "${%s} is no header that is known when the request is signed", shortened(name))
	case isHeader && known.headers:
		return headerPart + canonical
	case !slices.Contains(known.names, name) && len(known.names) == 0:
		c.failf(path, "there is no %s ${%s}: list it under `%ss`, with where it is", known.what, shortened(name), known.what)
	case !slices.Contains(known.names, name):
		c.failf(path, "there is no %s ${%s}: there is %s%s", known.what, shortened(name), known.words(), didYouMean(name, known.names))
	}
	return name
}

// headerPart begins the names of a request's headers.
const headerPart = "header."

func (p placeholders) words() string {
	names := slices.Clone(p.names)
	if p.headers {
		names = append(names, headerPart+"NAME")
	}
	return strings.Join(names, ", ")
}

// has says that the template has the name in it.
func (t Template) has(name string) bool {
	return slices.ContainsFunc(t, func(p TemplatePart) bool { return p.Name == name })
}

// usesName says that one of the headers has the name in it.
func usesName(set []HeaderTemplate, name string) bool {
	return slices.ContainsFunc(set, func(h HeaderTemplate) bool { return h.Value.has(name) })
}
