package content

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// charset is an encoding of the Encoding standard (https://encoding.spec.whatwg.org/).
type charset struct {
	name string            // canonical, lower case
	enc  encoding.Encoding // nil for UTF-8
}

func utf8Charset() charset { return charset{name: "utf-8"} }

func utf16Charset(order unicode.Endianness) charset {
	name := "utf-16le"
	if order == unicode.BigEndian {
		name = "utf-16be"
	}
	return charset{name, unicode.UTF16(order, unicode.IgnoreBOM)}
}

func windows1252() charset { return charset{"windows-1252", charmap.Windows1252} }

// ValidCharset reports whether name is a label of the Encoding standard that
// this package can read, in any case. The labels of its "replacement" encoding
// (iso-2022-kr, hz-gb-2312 and others), which decodes nothing, are not.
func ValidCharset(name string) bool {
	_, ok := lookup(name)
	return ok
}

// lookup finds a charset by label; quotes around it are forgiven.
func lookup(label string) (charset, bool) {
	label = trimLabel(label)
	if strings.EqualFold(label, "utf-8") || strings.EqualFold(label, "utf8") {
		return utf8Charset(), true
	}
	enc, err := htmlindex.Get(label)
	if err != nil || enc == encoding.Replacement {
		return charset{}, false
	}
	name, err := htmlindex.Name(enc)
	if err != nil {
		return charset{}, false
	}
	if name == "utf-8" {
		return utf8Charset(), true
	}
	return charset{name, enc}, true
}

func trimLabel(label string) string { return strings.Trim(label, httpSpace+"\f\"'") }

// openUTF16 reports whether label says UTF-16 without saying the byte order: a
// byte order mark decides (RFC 2781, section 3.3).
func openUTF16(label string, cs charset) bool {
	return cs.name == "utf-16le" && !strings.EqualFold(trimLabel(label), "utf-16le")
}

// The Encoding standard gives several labels to a larger Windows charset,
// which is right for reading. For writing a label means what it says, or its
// reader sees control characters where there were quotes.
func strictEncoding(label string, cs charset) encoding.Encoding {
	label = strings.ToLower(trimLabel(label))
	named := strings.HasSuffix(label, "cp1252") || strings.HasSuffix(label, "cp1254") || strings.HasPrefix(label, "windows-")
	switch {
	case cs.name == "windows-1252" && !named:
		return charmap.ISO8859_1
	case cs.name == "windows-1254" && !named:
		return charmap.ISO8859_9
	}
	return cs.enc
}

func isASCIILabel(label string) bool {
	switch strings.ToLower(trimLabel(label)) {
	case "us-ascii", "ascii", "ansi_x3.4-1968":
		return true
	}
	return false
}
