package policy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

func (c *compiler) connection(path string, base Connection, in *policyv1.Upstream) Connection {
	return Connection{
		Proxy: c.proxy(path+".proxy", base.Proxy, in.GetProxy()),
		TLS:   c.tls(path+".tls", base.TLS, in.GetTls()),

		AllowAddresses: c.prefixes(path+".unsafe_allow_addresses", in.GetUnsafeAllowAddresses()),
	}
}

// prefixes reads a list of address ranges.
func (c *compiler) prefixes(path string, in []string) (out []netip.Prefix) {
	for i, s := range in {
		prefix, err := parsePrefix(s)
		if err != nil {
			c.fail(fmt.Sprintf("%s[%d]", path, i), err)
			continue
		}
		out = append(out, prefix)
	}
	return out
}

// proxy replaces base as a whole: an address and a password of two levels do not
// belong together.
func (c *compiler) proxy(path string, base *Proxy, in *policyv1.Proxy) *Proxy {
	if in == nil {
		return base
	}
	out := &Proxy{
		Username: in.GetUsername(), FromEnvironment: in.GetFromEnvironment(),
		UnsafeResolves: in.GetUnsafeProxyResolves(), CAFile: c.bundle(path+".ca_file", in.GetCaFile()),
	}
	if in.GetPassword() != nil {
		out.Password = c.secret(path+".password.secret", in.GetPassword(), c.opts.CheckSecret)
	}
	for i, s := range in.GetNoProxy() {
		n, err := parseNoProxy(s)
		if err != nil {
			c.fail(fmt.Sprintf("%s.no_proxy[%d]", path, i), err)
		}
		out.NoProxy = append(out.NoProxy, n)
	}
	named := in.GetUrl() != ""
	switch {
	case in.GetDirect():
		if named || out.FromEnvironment || out.Username != "" || in.GetPassword() != nil || len(out.NoProxy) > 0 || out.CAFile != "" || out.UnsafeResolves {
			c.failf(path+".direct", "`direct` is no proxy at all: leave out the rest")
		}
		return nil
	case named && out.FromEnvironment:
		c.failf(path+".from_environment", "there is a `url` too: keep one of the two")
	case out.FromEnvironment:
		if out.Username != "" || out.Password != "" {
			c.failf(path+".username", "a proxy of the environment brings its own user name and password: leave them out")
		}
		return out
	case !named:
		c.failf(path, "a proxy needs a `url`, `from_environment` or `direct`")
		return base
	}
	if err := out.parseURL(in.GetUrl()); err != nil {
		c.fail(path+".url", err)
	}
	switch {
	case out.Scheme == "socks5h" && !out.UnsafeResolves:
		c.failf(path+".url", "socks5h lets the proxy resolve names, past the guard: write socks5, or add unsafe_proxy_resolves: true")
	case out.Username != "" && in.GetPassword() == nil:
		c.failf(path+".password", "a user name and a password go together: give both or neither")
	case out.Username == "" && in.GetPassword() != nil:
		c.failf(path+".username", "a user name and a password go together: give both or neither")
	case out.CAFile != "" && out.Scheme != "https":
		c.failf(path+".ca_file", "only an https proxy has a certificate: leave it out")
	}
	return out
}

// proxyPorts are the ports of proxies that name none.
var proxyPorts = map[string]uint16{"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

// parseURL reads `scheme://host:port`.
func (p *Proxy) parseURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("it is not a URL: write http://proxy.example:3128")
	}
	port, known := proxyPorts[u.Scheme]
	switch {
	case !known:
		return fmt.Errorf("a proxy speaks http, https, socks5 or socks5h: write http://proxy.example:3128")
	case u.User != nil:
		return fmt.Errorf("a user name and a password do not stand in the URL: use `username` and `password: {secret: …}`")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return fmt.Errorf("a proxy is an address without a path: write %s://proxy.example:3128", u.Scheme) // part of what stands there may be a password
	}
	host, err := target.ParseHost(bracket(u.Hostname()))
	if err != nil {
		return err
	}
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("the port is 1 to 65535")
		}
		port = uint16(n)
	}
	p.Scheme, p.Host, p.Port = u.Scheme, host.Name, port
	return nil
}

// bracket is how target.ParseHost wants an IPv6 address.
func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// parseNoProxy reads a range, or a host pattern.
func parseNoProxy(s string) (NoProxy, error) {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return NoProxy{Prefix: prefix.Masked()}, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return NoProxy{Prefix: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	at, _, err := parsePattern(s)
	if err != nil {
		return NoProxy{}, fmt.Errorf("%q is no host and no range: list a.example, *.a.example, a.example:8443, 192.0.2.7 or 10.0.0.0/8", s)
	}
	return NoProxy{Host: at.host, Suffix: at.kind != exact, Port: at.port}, nil
}

func (c *compiler) tls(path string, base TLS, in *policyv1.Tls) TLS {
	if in == nil {
		return base
	}
	out := base
	if file := c.bundle(path+".ca_file", in.GetCaFile()); file != "" {
		out.CAFile = file
	}
	if cert := in.GetClientCertificate(); cert != nil {
		out.CertFile, out.Key = c.clientCertificate(path+".client_certificate", cert)
	}
	switch in.GetMinVersion() {
	case "1.2":
		out.MinVersion = tls.VersionTLS12
	case "1.3":
		out.MinVersion = tls.VersionTLS13
	}
	if name := in.GetServerName(); name != "" {
		host, err := target.ParseHost(name)
		if err != nil && strings.ContainsAny(name, ":/@*") {
			err = fmt.Errorf("%q is more than a name: write api.example.com", name)
		}
		if err != nil {
			c.fail(path+".server_name", err)
		}
		out.ServerName = host.Name
	}
	if len(in.GetSpkiPins()) > 0 {
		out.Pins = nil
	}
	for i, s := range in.GetSpkiPins() {
		digest, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "sha256/"))
		if err != nil || len(digest) != 32 || !strings.HasPrefix(s, "sha256/") {
			c.failf(fmt.Sprintf("%s.spki_pins[%d]", path, i), "%q is no pin: write sha256/ and the base64 of the SHA-256 of the public key, 44 characters", s)
			continue
		}
		out.Pins = append(out.Pins, [32]byte(digest))
	}
	out.SkipVerify = override(base.SkipVerify, in.UnsafeSkipVerify)
	return out
}

// clientCertificate reads a certificate chain's file and where its key is.
func (c *compiler) clientCertificate(path string, in *policyv1.ClientCertificate) (file string, key SecretRef) {
	file, key = c.file(in.GetCertFile()), c.secret(path+".key.secret", in.GetKey(), c.opts.CheckPEM)
	text, err := readPEM(file)
	if err == nil {
		err = checkChain(file, text)
	}
	if err != nil {
		c.fail(path+".cert_file", err)
	}
	return file, key
}

// file makes a name absolute; a relative one starts from the policy file.
func (c *compiler) file(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

// bundle checks a file of authorities.
func (c *compiler) bundle(path, name string) string {
	if name == "" {
		return ""
	}
	name = c.file(name)
	text, err := readPEM(name)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = fmt.Errorf("%s has no certificate in PEM form", name)
	}
	if err != nil {
		c.fail(path, err)
	}
	return name
}

// maxPEM bounds what is read of a file of certificates.
const maxPEM = 4 << 20

func readPEM(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", name, underlying(err))
	case info.Size() > maxPEM:
		return nil, fmt.Errorf("%s is larger than %s", name, FormatSize(maxPEM))
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, underlying(err))
	}
	if !strings.Contains(string(text), "-----BEGIN CERTIFICATE-----") {
		return nil, fmt.Errorf("%s has no certificate in PEM form", name)
	}
	return text, nil
}

// checkChain says why the certificates in text cannot be presented.
func checkChain(name string, text []byte) error {
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d in %s cannot be read: %w", n, name, err)
		}
	}
	if n < strings.Count(string(text), "-----BEGIN CERTIFICATE-----") {
		return fmt.Errorf("%s has a certificate whose PEM form is broken", name)
	}
	return nil
}

// underlying drops the operation and the name of an *os.PathError.
func underlying(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}
