package testpeer

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Echoed is the JSON that echo upstreams answer with: the request they received.
type Echoed struct {
	Method string `json:"method"`
	// RequestURI is the request target, verbatim.
	RequestURI string `json:"request_uri"`
	Proto      string `json:"proto"`
	Host       string `json:"host"`
	// Header from [Echo] has the lines in wire order and case, Host and framing
	// included; from [EchoTLS] names are canonical and sorted, without those.
	Header []Field `json:"header"`
	// Body is the content without chunk framing.
	Body []byte `json:"body_base64"`
	// ContentLength is -1 if it was not announced.
	ContentLength    int64    `json:"content_length"`
	TransferEncoding []string `json:"transfer_encoding"`
	Trailer          []Field  `json:"trailer"`
	// RawHead and RawBody are the exact bytes; from [Echo] only.
	RawHead []byte `json:"raw_head_base64"`
	RawBody []byte `json:"raw_body_base64"`
	// Certificates are the common names of the client's chain; from [EchoTLS] only.
	Certificates []string `json:"certificates"`
}

// Get is the first value of a header, "" without one.
func (e Echoed) Get(name string) string {
	if v := e.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values are all values of a header, in order; names compare without case.
func (e Echoed) Values(name string) []string { return values(e.Header, name) }

// ReadEcho decodes what an echo upstream answered, or fails the test.
func ReadEcho(t testing.TB, r io.Reader) Echoed {
	t.Helper()
	var e Echoed
	if err := json.NewDecoder(r).Decode(&e); err != nil {
		t.Fatalf("testpeer: this is no echo: %v", err)
	}
	return e
}

// Echo answers 200 with the request as JSON, an [Echoed], exact to the byte.
func Echo(t testing.TB) *RawServer {
	t.Helper()
	return Raw(t, EchoScript)
}

// EchoScript is Echo for use with RawTLS, InTurn and the like.
func EchoScript(c *RawConn) { EachRequest((*RawConn).echo)(c) }

func (c *RawConn) echo(r Request) {
	e := Echoed{
		Method: r.Method, RequestURI: r.Target, Proto: r.Proto, Host: r.Get("Host"),
		Header: r.Fields, Body: r.Body.Data, ContentLength: -1, TransferEncoding: r.Values("Transfer-Encoding"),
		Trailer: r.Body.Trailer, RawHead: r.Raw, RawBody: r.Body.Raw,
	}
	if n, err := strconv.ParseInt(r.Get("Content-Length"), 10, 64); err == nil {
		e.ContentLength = n
	}
	body, _ := json.Marshal(e) // strings, bytes and numbers: it cannot fail
	response := Response(200, string(body), "Content-Type: application/json")
	if r.Method == http.MethodHead {
		response = strings.TrimSuffix(response, string(body))
	}
	c.Write(response)
}

// EchoTLS is Echo by net/http over TLS, HTTP/2 included: the order and case of
// headers are lost, Proto says which protocol it was.
func EchoTLS(t testing.TB, cert tls.Certificate, opts TLSOpts) (baseURL string) {
	t.Helper()
	return TLS(t, http.HandlerFunc(echoHTTP), cert, opts)
}

func echoHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e := Echoed{
		Method: r.Method, RequestURI: r.RequestURI, Proto: r.Proto, Host: r.Host,
		Header: fieldsOf(r.Header), Body: body, ContentLength: r.ContentLength, TransferEncoding: r.TransferEncoding,
		Trailer: fieldsOf(r.Trailer),
	}
	for _, cert := range r.TLS.PeerCertificates {
		e.Certificates = append(e.Certificates, cert.Subject.CommonName)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(e)
}

func fieldsOf(h http.Header) (fields []Field) {
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}
