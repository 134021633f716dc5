package content

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/unicode"
)

// prescanned is how far a document is searched for its own charset. The HTML
// standard asks authors for the first 1024 bytes; pages that open with a
// script miss that, so look a little further.
const prescanned = 4096

// byMarkup finds the charset that a document names itself.
func byMarkup(body []byte, essence string) (charset, bool) {
	isHTML := essence == "text/html" || essence == "application/xhtml+xml"
	isXML := essence == "text/xml" || essence == "application/xml" || strings.HasSuffix(essence, "+xml")
	head := body[:min(len(body), prescanned)]
	if essence == "" {
		isHTML, isXML = looksLikeHTML(head), true
	}
	if isHTML || isXML {
		if cs, ok := xmlDeclared(head); ok {
			return cs, true
		}
	}
	if isHTML {
		return metaDeclared(head)
	}
	return charset{}, false
}

// looksLikeHTML knows the openings of https://mimesniff.spec.whatwg.org/ that
// matter here: those that can come before a <meta>.
func looksLikeHTML(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n\f")
	for _, opening := range []string{"<!doctype html", "<html", "<head", "<meta", "<title", "<script", "<style", "<body", "<!--"} {
		if len(head) >= len(opening) && strings.EqualFold(string(head[:len(opening)]), opening) {
			return true
		}
	}
	return false
}

// xmlDeclared reads `<?xml version="1.0" encoding="…"?>`, or sees from its
// bytes that it is UTF-16 (XML 1.0, appendix F).
func xmlDeclared(head []byte) (charset, bool) {
	switch {
	case hasPrefix(head, "<\x00?\x00"):
		return utf16Charset(unicode.LittleEndian), true
	case hasPrefix(head, "\x00<\x00?"):
		return utf16Charset(unicode.BigEndian), true
	case !hasPrefix(head, "<?xml"):
		return charset{}, false
	}
	decl, _, ok := bytes.Cut(head, []byte("?>"))
	if !ok {
		return charset{}, false
	}
	_, rest, ok := bytes.Cut(decl, []byte("encoding"))
	if !ok {
		return charset{}, false
	}
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, httpSpace), []byte("="))
	rest = bytes.TrimLeft(rest, httpSpace)
	if !ok || len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return charset{}, false
	}
	label, _, ok := bytes.Cut(rest[1:], rest[:1])
	if !ok {
		return charset{}, false
	}
	return inMarkup(string(label))
}

// metaDeclared does what https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
// does, with an HTML tokenizer.
func metaDeclared(head []byte) (charset, bool) {
	z := html.NewTokenizer(bytes.NewReader(head))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return charset{}, false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			if string(name) != "meta" || !more {
				continue
			}
			if label := metaLabel(z); label != "" {
				if cs, ok := inMarkup(label); ok {
					return cs, true
				}
			}
		}
	}
}

// metaLabel reads the attributes of a <meta>: `charset`, or `content` if
// `http-equiv` says that it is a content type. Of attributes with one name the
// first counts.
func metaLabel(z *html.Tokenizer) string {
	var label, content string
	var hasLabel, hasContent, hasPragma, pragma bool
	for more := true; more; {
		var key, val []byte
		key, val, more = z.TagAttr()
		switch string(key) {
		case "charset":
			if !hasLabel {
				hasLabel, label = true, string(val)
			}
		case "content":
			if !hasContent {
				hasContent, content = true, string(val)
			}
		case "http-equiv":
			if !hasPragma {
				hasPragma, pragma = true, strings.EqualFold(string(val), "content-type")
			}
		}
	}
	if !hasLabel && pragma {
		return contentLabel(content)
	}
	return label
}

// contentLabel finds "charset=" in the content of a <meta>, anywhere
// (https://html.spec.whatwg.org/#algorithm-for-extracting-a-character-encoding-from-a-meta-element).
func contentLabel(s string) string {
	for lower := strings.ToLower(s); ; {
		i := strings.Index(lower, "charset")
		if i < 0 {
			return ""
		}
		lower = strings.TrimLeft(lower[i+len("charset"):], httpSpace+"\f")
		rest, ok := strings.CutPrefix(lower, "=")
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, httpSpace+"\f")
		if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
			label, _, _ := strings.Cut(rest[1:], rest[:1])
			return label
		}
		label, _ := paramValue(rest)
		return label
	}
}

// inMarkup is lookup for a name that was readable as ASCII, which it would not
// have been in UTF-16, and with what the HTML standard says of x-user-defined.
func inMarkup(label string) (charset, bool) {
	cs, ok := lookup(label)
	switch {
	case ok && strings.HasPrefix(cs.name, "utf-16"):
		return utf8Charset(), true
	case ok && cs.name == "x-user-defined":
		return windows1252(), true
	}
	return cs, ok
}
