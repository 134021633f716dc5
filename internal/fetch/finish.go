package fetch

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// finish turns the last hop's response into the answer.
func (c *Call) finish(res *http.Response, out *Response) error {
	body, ok := res.Body.(*buffered)
	if !ok {
		return fault.New(fault.Internal, "the response was not buffered")
	}
	c.head(res, out)
	out.Trailer = res.Trailer
	out.Body, out.Truncated = body.data, body.truncated
	err := c.decode(out)
	if err == nil {
		err = c.scrubWhole(out)
	}
	if err != nil {
		f := fault.From(err)
		c.tries.attempts[len(c.tries.attempts)-1].Err = f
		return f
	}
	return c.judgeStatus(out.Status)
}

// head writes down what the response's head says.
func (c *Call) head(res *http.Response, out *Response) {
	out.Status, out.Proto, out.Header = res.StatusCode, protoVersion(res), res.Header
	out.Reason = reason(res)
	out.URL, out.Upstream = c.hop.url, c.hop.upstream.Name
	if c.plan.of == res {
		out.RedirectStopped = c.plan.stopped
	}
}

// judgeStatus is fail_on_status.
func (c *Call) judgeStatus(status int) error {
	if !c.req.FailOnStatus || status < 400 {
		return nil
	}
	f := fault.Newf(fault.UpstreamStatus, "%s answered %d and the call asked for that to be an error (fail_on_status)",
		c.hop.url.Place(), status)
	f.Wire, f.UpstreamStatus = fault.Answered, status
	return f
}

// reason is the phrase behind the status code. HTTP/2 has none; net/http makes
// one up.
func reason(res *http.Response) string {
	if res.ProtoMajor >= 2 {
		return ""
	}
	_, phrase, _ := strings.Cut(res.Status, " ")
	return phrase
}

// decode undoes the content coding of a whole body.
func (c *Call) decode(out *Response) error {
	codings := out.Header["Content-Encoding"]
	if len(codings) == 0 || len(out.Body) == 0 {
		return nil
	}
	coding, known, err := content.CodingOf(codings)
	if c.keepCoded(out.Status, coding, known) {
		out.Coded = coding != "" || err != nil
		return nil
	}
	if err != nil || coding == "" {
		return err
	}
	lim := content.Limits{MaxDecoded: c.hop.limits.maxDecoded, MaxRatio: c.hop.limits.ratio, AllowTruncated: c.req.AllowTruncated}
	coded, cut := out.Body, out.Truncated
	out.Body, out.Truncated, err = content.Decode(coding, coded, lim)
	if err != nil && cut && errors.Is(err, fault.BadContentCoding) {
		// The coded body was cut on purpose: what decodes of it is the answer.
		out.Body, err = decodePrefix(coding, coded, lim)
	}
	if err != nil {
		return err
	}
	out.Decoded, out.Truncated = coding, out.Truncated || cut
	return nil
}

// keepCoded: the caller wants it so, and it need not be scrubbed, nobody knows the coding, or it is a part,
// which does not decode by itself.
func (c *Call) keepCoded(status int, coding string, known bool) bool {
	return c.req.KeepCoded && !c.scrubs() || status == http.StatusPartialContent || coding != "" && !known
}

// decodePrefix gives what the beginning of a coded body decodes to.
func decodePrefix(coding string, coded []byte, lim content.Limits) ([]byte, error) {
	r, err := content.NewDecoder(coding, strings.NewReader(string(coded)), lim)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if errors.Is(err, fault.BadContentCoding) {
		err = nil
	}
	return data, err
}
