package content

import (
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// The content codings this package undoes (RFC 9110, section 8.4.1; br is RFC
// 7932, zstd is RFC 8878 within RFC 9659).
const (
	codingIdentity = "identity"
	codingGzip     = "gzip"
	codingDeflate  = "deflate"
	codingBrotli   = "br"
	codingZstd     = "zstd"
)

// AcceptEncoding is the value of the Accept-Encoding that offers every coding
// [NewDecoder] undoes.
func AcceptEncoding() string { return "gzip, deflate, br, zstd" }

// CodingOf reads the Content-Encoding values of a response.
//
// The coding is "" if there is none to undo, with known true. One that
// [NewDecoder] undoes comes back under its own name (x-gzip as gzip). Any other
// single one comes back in lower case with known false: its body is handed over
// as it came. More than one is a BadContentCoding fault, because decoding
// chains is how a few bytes become a bomb (urllib3's CVE-2025-66418).
func CodingOf(contentEncodingValues []string) (coding string, known bool, err error) {
	for _, v := range contentEncodingValues {
		for c := range strings.SplitSeq(v, ",") {
			c = toUTF8(strings.ToLower(strings.Trim(c, httpSpace)))
			if c == "" || c == codingIdentity {
				continue
			}
			if coding != "" {
				return "", false, badCoding(nil, "the response has more than one content coding, and fetchsvc undoes one at most; "+
					"`decode: NONE` hands over the bytes as they came")
			}
			coding = c
		}
	}
	switch coding {
	case "", codingGzip, codingDeflate, codingBrotli, codingZstd:
		return coding, true, nil
	case "x-gzip":
		return codingGzip, true, nil
	}
	return coding, false, nil
}

func badCoding(cause error, message string) error {
	e := fault.Wrap(fault.BadContentCoding, cause, message)
	e.Wire = fault.Answered
	return e
}
