package content

import (
	"unicode/utf8"

	"golang.org/x/text/transform"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// EncodeText gives text as the bytes that contentType promises, and the
// Content-Type to send.
//
// An empty contentType means `text/plain; charset=utf-8`. One without a
// charset is left as it is, and UTF-8 is sent. Otherwise text is written in
// that charset exactly: iso-8859-1 does not stand for windows-1252 here, as it
// does in reading, and utf-16 without a byte order is little-endian behind a
// byte order mark. A charset that is unknown or cannot express a character is
// an InvalidRequest fault of the field `text`.
func EncodeText(text string, contentType string) (body []byte, finalContentType string, err error) {
	if !utf8.ValidString(text) {
		return nil, "", fault.Invalid("text", "it is not valid UTF-8; send bytes as `raw`")
	}
	if contentType == "" {
		return []byte(text), "text/plain; charset=utf-8", nil
	}
	label, declared := param(contentType, "charset")
	if !declared {
		return []byte(text), contentType, nil
	}
	cs, ok := lookup(label)
	if !ok {
		return nil, "", fault.Invalidf("text", "the charset %.40q of its content type is not known; "+
			"use charset=utf-8, or send the encoded bytes as `raw`", label)
	}
	body, n := cs.encode(text, label)
	if n < len(text) {
		r, _ := utf8.DecodeRuneInString(text[n:])
		return nil, "", fault.Invalidf("text", "the character at offset %d (%U) cannot be written in the charset %.40q; "+
			"use charset=utf-8, or remove the character", utf8.RuneCountInString(text[:n]), r, label)
	}
	return body, contentType, nil
}

// encode writes text as far as cs can express it; n is how many bytes of text
// that is.
func (cs charset) encode(text, label string) (body []byte, n int) {
	if cs.enc == nil {
		return []byte(text), len(text)
	}
	if isASCIILabel(label) {
		for n < len(text) && text[n] < utf8.RuneSelf {
			n++
		}
		return []byte(text[:n]), n
	}
	if openUTF16(label, cs) {
		text = "\ufeff" + text
		body, n, _ = transform.Bytes(cs.enc.NewEncoder(), []byte(text))
		return body, n - len("\ufeff")
	}
	// An error of the encoder is always one of a character, and n is where.
	body, n, _ = transform.Bytes(strictEncoding(label, cs).NewEncoder(), []byte(text))
	return body, n
}
