package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// mostSystemBody bounds what a request of our own sends, in bytes.
const mostSystemBody = 1 << 20

// SystemTransport is DoSystem for libraries that speak net/http: what they send
// goes to a system upstream of the policy as any other call, and answers come
// whole. Its errors are *fault.Error.
func (e *Engine) SystemTransport(upstream string) http.RoundTripper {
	return systemTransport{e, upstream}
}

type systemTransport struct {
	engine   *Engine
	upstream string
}

func (t systemTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	req, err := systemRequest(r)
	if err != nil {
		return nil, err
	}
	res, err := t.engine.DoSystem(r.Context(), t.upstream, req)
	if err != nil {
		return nil, err
	}
	if res.Decoded != "" {
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", res.Status, http.StatusText(res.Status)), StatusCode: res.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: res.Header, Trailer: res.Trailer,
		Body: io.NopCloser(bytes.NewReader(res.Body)), ContentLength: int64(len(res.Body)), Request: r,
	}, nil
}

// systemRequest reads r whole, so that it can be sent again.
func systemRequest(r *http.Request) (*Request, error) {
	u, err := target.Parse(r.URL.String())
	if err != nil {
		return nil, err
	}
	req := &Request{Method: r.Method, URL: u, Header: r.Header.Clone()}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if r.Body == nil || r.Body == http.NoBody {
		return req, nil
	}
	defer r.Body.Close()
	data, err := io.ReadAll(io.LimitReader(r.Body, mostSystemBody+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > mostSystemBody:
		return nil, fmt.Errorf("the request to %s is larger than %d bytes", u.Place(), mostSystemBody)
	}
	req.Body = Bytes(data)
	return req, nil
}
