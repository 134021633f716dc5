package fetch

import (
	"net/http"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// fieldCost is what a header field costs beside its name and value, as HTTP/2
// counts it (RFC 9113 section 6.5.2): many small fields take more memory than
// they take bytes of the head.
const fieldCost = 32

// badHead refuses what net/http lets through on HTTP/1: a head of more than most
// bytes where each field counts as on HTTP/2, a status that is none, and framing
// that another reader may understand differently (RFC 9112 section 11.2).
func badHead(res *http.Response, most int64) *fault.Error {
	if res.StatusCode < 100 {
		return fault.Newf(fault.BadResponse, "the upstream's answer is not valid HTTP: there is no status %03d", res.StatusCode)
	}
	if name := oddFraming(res); name != "" {
		return fault.New(fault.BadResponse, "the upstream's answer is not valid HTTP: white space between "+name+" and its colon leaves open where the body ends")
	}
	var size int64
	for name, values := range res.Header {
		for _, v := range values {
			size += int64(len(name)+len(v)) + fieldCost
		}
	}
	if size > most {
		return fault.Newf(fault.ResponseHeaderTooLarge,
			"the response head is larger than the policy's response_header size of %s, where each field counts %d bytes beside its name and value",
			policy.FormatSize(most), fieldCost)
	}
	return nil
}

// oddFraming names the header that says how long the body is and was not heeded.
// net/http takes those that it heeds out, or leaves one; trimNames puts back those
// with a space behind their name.
func oddFraming(res *http.Response) string {
	if res.ProtoMajor != 1 {
		return ""
	}
	if _, left := res.Header["Transfer-Encoding"]; left {
		return "Transfer-Encoding"
	}
	if n := res.Header["Content-Length"]; len(n) > 1 || len(n) == 1 && res.ContentLength < 0 {
		return "Content-Length"
	}
	return ""
}
