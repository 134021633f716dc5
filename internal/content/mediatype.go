package content

import (
	"strings"
	"unicode/utf8"
)

// Textual reports whether contentType is one whose bytes are meant to be read
// as text: text/*, JSON, XML, scripts, forms, YAML and their like. An empty or
// unknown type is not.
func Textual(contentType string) bool {
	t := essence(contentType)
	if strings.HasPrefix(t, "text/") {
		return true
	}
	if i := strings.LastIndexByte(t, '+'); i >= 0 {
		switch t[i:] {
		case "+json", "+xml", "+yaml", "+json-seq", "+csv":
			return true
		}
	}
	sub, ok := strings.CutPrefix(t, "application/")
	if !ok {
		return t == "audio/mpegurl" || t == "audio/x-mpegurl"
	}
	switch strings.TrimPrefix(sub, "x-") {
	case "json", "json5", "jsonl", "jsonlines", "ndjson", "json-seq", "dns-json", "json-patch",
		"xml", "xml-dtd", "xml-external-parsed-entity",
		"javascript", "ecmascript", "typescript", "www-form-urlencoded",
		"yaml", "toml", "csv", "sql", "graphql", "sh", "sparql-query", "sparql-update", "n-triples", "n-quads", "trig",
		"openmetrics-text", "mpegurl", "vnd.apple.mpegurl", "subrip", "jwt", "pem-file", "pem-certificate-chain":
		return true
	}
	return false
}

// LooksLikeText reports whether a body that came without a content type can be
// handed over as text: valid UTF-8 with no control character but tab, line
// feed, form feed and carriage return. An empty body does.
func LooksLikeText(body []byte) bool {
	for _, c := range body {
		if c < ' ' && c != '\t' && c != '\n' && c != '\f' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(body)
}

// essence is "type/subtype" in lower case, without parameters. A list, which
// is what a field sent twice turns into, counts as its first member.
func essence(contentType string) string {
	if i := strings.IndexAny(contentType, ";,"); i >= 0 {
		contentType = contentType[:i]
	}
	return strings.ToLower(strings.Trim(contentType, httpSpace))
}

const httpSpace = " \t\r\n"

// param finds a parameter of a media type; the first of a name counts. It is
// as lenient as browsers (https://mimesniff.spec.whatwg.org/#parsing-a-mime-type),
// because a charset that can be guessed is better than one that is lost.
func param(contentType, name string) (string, bool) {
	_, rest, more := strings.Cut(contentType, ";")
	for more {
		rest = strings.TrimLeft(rest, httpSpace+";")
		i := strings.IndexAny(rest, ";=")
		if i < 0 {
			return "", false
		}
		key := strings.Trim(rest[:i], httpSpace)
		if rest[i] == ';' {
			rest = rest[i+1:]
			continue
		}
		var value string
		value, rest = paramValue(strings.TrimLeft(rest[i+1:], httpSpace))
		if strings.EqualFold(key, name) {
			return value, true
		}
		_, rest, more = strings.Cut(rest, ";")
	}
	return "", false
}

// paramValue takes a token or a quoted string from the head of s.
func paramValue(s string) (value, rest string) {
	if strings.HasPrefix(s, `"`) {
		return unquote(s)
	}
	i := strings.IndexAny(s, ";,"+httpSpace)
	if i < 0 {
		i = len(s)
	}
	return s[:i], s[i:]
}

// unquote takes the quoted string that s begins with (RFC 9110, section
// 5.6.4); one without its closing quote ends with s. It copies only if there
// is a backslash.
func unquote(s string) (value, rest string) {
	var b []byte
	from := 1
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return string(b) + s[from:i], s[i+1:]
		case '\\':
			if i+1 < len(s) {
				b = append(b, s[from:i]...)
				i++
				from = i
			}
		}
	}
	return string(b) + s[from:], ""
}
