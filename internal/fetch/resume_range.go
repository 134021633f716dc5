package fetch

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// download is a body that is continued by Range and If-Range (RFC 9110 sections
// 13.1.5 and 14).
type download struct {
	resumption
	etag, coding []string
	// at is how many bytes of the representation, as coded, have come.
	at int64
	// whole is how many it has, part where the answer at hand ends; -1: unknown.
	whole, part int64
}

// rangeable says that an answer to a request with the headers asked can be
// continued: the upstream serves ranges, and names by a strong ETag of what.
func rangeable(asked, answer http.Header) bool {
	for _, name := range []string{"Range", "If-Range"} {
		if _, given := asked[name]; given {
			return false
		}
	}
	etags := answer["Etag"]
	if len(etags) != 1 || len(etags[0]) < 2 || etags[0][0] != '"' || !strings.HasSuffix(etags[0], `"`) {
		return false
	}
	for _, v := range answer["Accept-Ranges"] {
		for unit := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(unit), "bytes") {
				return true
			}
		}
	}
	return false
}

// Read gives the next bytes, each exactly once.
func (d *download) Read(p []byte) (int, error) {
	for d.err == nil {
		if d.broke != nil {
			if d.at == d.end() {
				d.err = d.finished() // it broke behind the last byte
				break
			}
			if d.err = d.again(d.rest(), d.refuse); d.err != nil {
				break
			}
		}
		n, err := d.body.Read(p)
		n, err = d.count(n, err)
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, d.err
}

// count notes what came, and keeps what can be resumed to itself.
func (d *download) count(n int, err error) (int, error) {
	d.at += int64(n)
	if n > 0 {
		d.progress()
	}
	if over := d.at - d.part; d.part >= 0 && over > 0 {
		d.at -= over
		d.err = fault.New(fault.BadResponse, "the upstream sent more bytes than its Content-Range says")
		return n - int(over), d.err
	}
	switch {
	case err == nil:
	case err == io.EOF && d.at < d.end():
		d.broke = fault.Newf(fault.BodyCutShort, "the upstream sent %d of the %d bytes and ended", d.at, d.end())
	case err == io.EOF:
		d.err = d.finished()
	case resumable(err):
		d.broke = err
	default:
		d.err = err
	}
	return n, d.err
}

// end is where the representation ends, as far as answers have said; -1: unknown.
func (d *download) end() int64 { return max(d.whole, d.part) }

// rest asks for the bytes that are missing. The coding stays as it was asked for:
// the position counts bytes as coded.
func (d *download) rest() http.Header {
	return http.Header{
		"Range":           {"bytes=" + strconv.FormatInt(d.at, 10) + "-"},
		"If-Range":        d.etag,
		"Accept-Encoding": d.body.try.request.Header["Accept-Encoding"],
	}
}

// refuse says why an answer does not go on where the body broke off. One that
// does says how long it and the whole are.
func (d *download) refuse(res *http.Response) string {
	switch res.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK:
		return "the representation changed (200 instead of 206)"
	case http.StatusRequestedRangeNotSatisfiable:
		return "the upstream says that nothing is left of it (416)"
	default:
		return "the upstream answered with status " + strconv.Itoa(res.StatusCode)
	}
	first, last, whole, ok := contentRange(res.Header["Content-Range"])
	switch {
	case !ok:
		return "the answer's Content-Range is missing or cannot be read"
	case first != d.at:
		return "the answer's Content-Range begins at byte " + strconv.FormatInt(first, 10) + " instead of " + strconv.FormatInt(d.at, 10)
	case d.whole >= 0 && whole >= 0 && whole != d.whole, d.whole >= 0 && last >= d.whole:
		return "the representation's length changed"
	case !slices.Equal(res.Header["Etag"], d.etag):
		return "the representation changed (another ETag)"
	case !slices.Equal(res.Header["Content-Encoding"], d.coding):
		return "the representation changed (another Content-Encoding)"
	case res.ContentLength >= 0 && res.ContentLength != last+1-first:
		return "the answer's Content-Length and Content-Range contradict each other"
	}
	if d.part = last + 1; whole >= 0 {
		d.whole = whole
	}
	return ""
}

// contentRange reads `bytes 100-199/1000`; whole is -1 where it says `*`.
func contentRange(values []string) (first, last, whole int64, ok bool) {
	if len(values) != 1 {
		return 0, 0, 0, false
	}
	unit, rest, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	span, size, sized := strings.Cut(strings.TrimSpace(rest), "/")
	from, to, spans := strings.Cut(span, "-")
	first, good := position(from)
	last, well := position(to)
	whole = -1
	if size != "*" {
		var known bool
		if whole, known = position(size); !known || whole <= last {
			return 0, 0, 0, false
		}
	}
	ok = strings.EqualFold(unit, "bytes") && sized && spans && good && well && first <= last
	return first, last, whole, ok
}

// position reads digits that an int64 holds with room for one more.
func position(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 63)
	return n, err == nil && allDigits(s)
}
