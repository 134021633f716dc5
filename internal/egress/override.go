package egress

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Override is what one call decides of its own connection, where policy grants
// it that. The zero value overrides nothing.
type Override struct {
	// Proxy is gone through instead of the upstream's; nil: the upstream's.
	Proxy *CallProxy
	// CAPEM is trusted instead of the policy's authorities.
	CAPEM []byte
	// CertPEM and KeyPEM are the client certificate presented instead of the
	// policy's.
	CertPEM []byte
	KeyPEM  secret.Value
	// SkipVerify accepts any certificate. Pins of the policy hold all the same.
	SkipVerify bool
}

// CallProxy is a proxy that a call names. It is judged as the upstream's own
// addresses are, and never handed a name.
type CallProxy struct {
	// Scheme is `http`, `https` or `socks5`.
	Scheme string
	// Host is canonical.
	Host               string
	Port               uint16
	Username, Password secret.Value
}

// IsZero says that nothing is overridden.
func (o Override) IsZero() bool {
	return o.Proxy == nil && len(o.CAPEM) == 0 && len(o.CertPEM) == 0 && o.KeyPEM.IsZero() && !o.SkipVerify
}

// ParseProxy reads the API's `proxy`: scheme://user:password@host:port. Errors
// name that field and nothing of what stands before the host.
func ParseProxy(text string) (*CallProxy, error) {
	p, err := parseProxy(text)
	switch {
	case err != nil:
		return nil, fault.Invalid("proxy", err.Error())
	case p.Scheme == "socks5h":
		return nil, fault.Invalid("proxy", "socks5h lets the proxy resolve names, past the guard: write socks5")
	}
	return p, nil
}

// proxyPorts are the ports of proxies that name none.
var proxyPorts = map[string]uint16{"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

func parseProxy(text string) (*CallProxy, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("it is not a URL: write http://proxy.example:3128") // err quotes it
	}
	port, known := proxyPorts[strings.ToLower(u.Scheme)]
	switch {
	case !known:
		return nil, fmt.Errorf("a proxy speaks http, https or socks5: write http://proxy.example:3128")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("a proxy is an address without a path or query: write http://proxy.example:3128")
	}
	name := u.Hostname()
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	host, err := target.ParseHost(name)
	if err != nil {
		return nil, err
	}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("the port is 1 to 65535")
		}
		port = uint16(n)
	}
	p := &CallProxy{Scheme: strings.ToLower(u.Scheme), Host: host.Name, Port: port}
	if u.User != nil {
		password, _ := u.User.Password()
		p.Username, p.Password = secret.NewValue(u.User.Username()), secret.NewValue(password)
	}
	return p, nil
}

// proxy is p to connect by. d is how its upstream is dialled, the guard included.
func (p *CallProxy) proxy(d dialer, handshake time.Duration) *proxy {
	px := &proxy{
		scheme: p.Scheme, at: endpoint{p.Host, p.Port}, username: p.Username.Reveal(),
		dialer: d, handshake: handshake,
	}
	if !p.Username.IsZero() || !p.Password.IsZero() {
		px.password = func() (secret.Value, error) { return p.Password, nil }
	}
	return px
}

// key tells Overrides apart without holding what they hold.
func (o Override) key() string {
	h := sha256.New()
	add := func(parts ...string) {
		for _, s := range parts {
			fmt.Fprintf(h, "%d:%s", len(s), s)
		}
	}
	if p := o.Proxy; p != nil {
		add("proxy", p.Scheme, p.Host, strconv.Itoa(int(p.Port)), p.Username.Reveal(), p.Password.Reveal())
	}
	add("tls", string(o.CAPEM), string(o.CertPEM), o.KeyPEM.Reveal(), strconv.FormatBool(o.SkipVerify))
	return hex.EncodeToString(h.Sum(nil))
}

// pool makes the pool of a call's own. Errors name the API's field.
func (o Override) pool(cfg Config, spec Spec) (*pool, error) {
	t, base := &spec.Connection.TLS, clientTLS(cfg)
	if len(o.CAPEM) > 0 {
		if err := isBundle(o.CAPEM); err != nil {
			return nil, fault.Invalid("ca_pem", err.Error()+": give the authorities' certificates, each with its BEGIN and END line")
		}
		base.RootCAs = x509.NewCertPool()
		base.RootCAs.AppendCertsFromPEM(o.CAPEM)
		t.CAFile = ""
	}
	if len(o.CertPEM) > 0 || !o.KeyPEM.IsZero() {
		pair, err := o.pair()
		if err != nil {
			return nil, err
		}
		base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
		t.CertFile, t.Key = "", ""
	}
	t.SkipVerify = t.SkipVerify || o.SkipVerify
	if o.Proxy == nil {
		return newPool(cfg, spec, base), nil
	}
	spec.Connection.Proxy = nil
	p := newPool(cfg, spec, base)
	px := o.Proxy.proxy(p.dialer, spec.TLSHandshake)
	px.secureWith(cfg, "")
	p.routes = &routes{fixed: px}
	return p, nil
}

// Check says why o cannot be used, if so, without dialling. Errors name the API's
// field.
func (o Override) Check() error {
	if len(o.CAPEM) > 0 {
		if err := isBundle(o.CAPEM); err != nil {
			return fault.Invalid("ca_pem", err.Error()+": give the authorities' certificates, each with its BEGIN and END line")
		}
	}
	if len(o.CertPEM) == 0 && o.KeyPEM.IsZero() {
		return nil
	}
	_, err := o.pair()
	return err
}

// pair reads the client certificate. Errors quote nothing of the key.
func (o Override) pair() (*tls.Certificate, error) {
	switch block, _ := pem.Decode(bytes.TrimSpace(o.CertPEM)); {
	case len(o.CertPEM) == 0:
		return nil, fault.Invalid("client_cert", "there is a key and no certificate: give both")
	case o.KeyPEM.IsZero():
		return nil, fault.Invalid("client_cert", "there is a certificate and no key: give both")
	case block == nil:
		return nil, fault.Invalid("client_cert", "the certificate is not PEM")
	}
	pair, err := tls.X509KeyPair(o.CertPEM, []byte(o.KeyPEM.Reveal()))
	if err != nil {
		return nil, fault.Invalid("client_cert", "the certificate and the key cannot be used together: "+err.Error())
	}
	return &pair, nil
}
