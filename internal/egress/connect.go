package egress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// maxProxyHead is the most that a proxy may say before the tunnel, in bytes.
const maxProxyHead = 16 << 10

// connectTo has an HTTP proxy open a tunnel on c (RFC 9110 section 9.3.6).
func (px *proxy) connectTo(c net.Conn, to destination) error {
	auth, err := px.authorization()
	if err != nil {
		return err
	}
	head := "CONNECT " + to.String() + " HTTP/1.1\r\nHost: " + to.String() + "\r\n"
	if auth != "" {
		head += "Proxy-Authorization: " + auth + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		return err
	}
	res, err := px.readAnswer(c)
	if err != nil {
		return err
	}
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case res.StatusCode == http.StatusProxyAuthRequired:
		return px.authRequired(auth != "")
	default:
		return px.refused(res, to)
	}
}

// authRequired is the proxy's 407.
func (px *proxy) authRequired(shown bool) error {
	if shown {
		return fault.New(fault.ProxyAuthRequired, "the proxy "+px.String()+" does not accept the user name and password that it was shown (407)")
	}
	return fault.New(fault.ProxyAuthRequired, "the proxy "+px.String()+" wants a user name and a password (407), and none are set for it")
}

// refused tells a proxy that will not from one that could not.
func (px *proxy) refused(res *http.Response, to destination) error {
	status := fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		kind, word := proxyReason(res)
		if word != "" {
			status += ", " + word
		}
		return fault.Newf(kind, "the proxy %s says that it cannot reach %s: %s", px, to, status)
	}
	return fault.Newf(fault.ProxyDenied, "the proxy %s refuses to connect to %s: %s", px, to, status)
}

// proxyReasons are the words with which proxies say why they could not: RFC 9209
// section 2.3 error types, and Squid's X-Squid-Error with its errno.
var proxyReasons = []struct {
	word string
	kind fault.Kind
}{
	{"dns_timeout", fault.DNSTimeout},
	{"dns_error", fault.DNSError},
	{"ERR_DNS_FAIL", fault.DNSError},
	{"connection_refused", fault.ConnectionRefused},
	{"ERR_CONNECT_FAIL 111", fault.ConnectionRefused},
	{"connection_timeout", fault.ConnectTimeout},
	{"ERR_CONNECT_FAIL 110", fault.ConnectTimeout},
	{"destination_ip_unroutable", fault.HostUnreachable},
	{"ERR_CONNECT_FAIL", fault.HostUnreachable},
}

// proxyReason gives the kind of a 502, 503 or 504, and the word that said so.
func proxyReason(res *http.Response) (fault.Kind, string) {
	said := strings.Join(res.Header["Proxy-Status"], " ") + " " + res.Header.Get("X-Squid-Error")
	for _, r := range proxyReasons {
		if strings.Contains(said, r.word) {
			return r.kind, r.word
		}
	}
	if res.StatusCode == http.StatusGatewayTimeout {
		return fault.ConnectTimeout, ""
	}
	return fault.HostUnreachable, ""
}

// readAnswer reads the final head of the answer to CONNECT, and not a byte more:
// what follows is the tunnel's.
func (px *proxy) readAnswer(c net.Conn) (*http.Response, error) {
	left := maxProxyHead
	for {
		head, err := readHead(c, left)
		switch {
		case errors.Is(err, errNotHTTP):
			return nil, fault.New(fault.ProxyBadResponse, "the proxy "+px.String()+" answers CONNECT with something that is not HTTP")
		case errors.Is(err, errHeadSize):
			return nil, fault.Newf(fault.ProxyBadResponse, "the proxy %s answers CONNECT with a head of more than %d bytes", px, maxProxyHead)
		case err != nil:
			return nil, err
		}
		left -= len(head)
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
		if err != nil {
			return nil, fault.Wrap(fault.ProxyBadResponse, err, "the proxy "+px.String()+" answers CONNECT with something that is not HTTP")
		}
		if res.StatusCode >= 200 {
			return res, nil
		}
	}
}

var (
	errNotHTTP  = errors.New("not HTTP")
	errHeadSize = errors.New("head too large")
)

// readHead reads up to the empty line, byte by byte: a tunnel is opened once for
// many requests.
func readHead(r io.Reader, limit int) ([]byte, error) {
	const begin = "HTTP/1."
	head := make([]byte, 0, 512)
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		head = append(head, one[0])
		switch n := len(head); {
		case n <= len(begin) && head[n-1] != begin[n-1]:
			return nil, errNotHTTP
		case one[0] == '\n' && (bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n"))):
			return head, nil
		case n >= limit:
			return nil, errHeadSize
		}
	}
}
