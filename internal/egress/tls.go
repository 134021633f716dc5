package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// secure runs the TLS handshake with hostport on a fresh connection, within its
// own clock. It closes raw if that fails.
func (p *pool) secure(ctx context.Context, raw net.Conn, hostport string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		_ = raw.Close()
		return nil, fault.Wrap(fault.Internal, err, "a malformed address reached the TLS dialer")
	}
	cfg, err := p.tls.config(host)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	rec := recordFrom(ctx)
	if cfg.GetClientCertificate == nil {
		cfg.GetClientCertificate = rec.noCertificate
	}
	start := time.Now()
	tc, err := handshake(ctx, raw, cfg, host, p.handshake)
	rec.secured(time.Since(start))
	return tc, err
}

// handshake makes raw a TLS session with host, or closes it.
func handshake(ctx context.Context, raw net.Conn, cfg *tls.Config, host string, limit time.Duration) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tc := tls.Client(raw, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, tlsFault(ctx, err, host, limit)
	}
	return tc, nil
}

// tlsFault sorts handshake errors. A certificate that does not verify is never
// worth another try; a connection that broke may be.
func tlsFault(ctx context.Context, err error, host string, limit time.Duration) error {
	var (
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		weak    x509.InsecureAlgorithmError
		record  tls.RecordHeaderError
	)
	switch {
	case outerCause(ctx) != nil:
		return outerCause(ctx)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.TLSTimeout, err, "the TLS handshake with "+host+" took longer than the tls clock of "+limit.String())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fault.Wrap(fault.TLSCertExpired, err, "the certificate of "+host+" is out of date: "+validity(invalid.Cert))
	case errors.As(err, &name):
		return fault.Wrap(fault.TLSCertName, err, "the certificate of the server at "+host+" is for other names"+namesOf(name.Certificate))
	case errors.Is(err, errPin):
		return fault.Wrap(fault.TLSCertUntrusted, err, "no public key in the certificate chain of "+host+" matches a pin of the policy (spki_pins)")
	case errors.As(err, &weak):
		return fault.Wrap(fault.TLSCertUntrusted, err, "the certificate of "+host+" is signed with a broken algorithm: "+weak.Error())
	case errors.As(err, &unknown):
		return fault.Wrap(fault.TLSCertUntrusted, err, "the certificate of "+host+" is signed by no authority that is trusted here")
	case errors.As(err, &invalid):
		return fault.Wrap(fault.TLSCertUntrusted, err, "the certificate of "+host+" is not acceptable: "+invalid.Error())
	case errors.As(err, &record):
		return fault.Wrap(fault.TLSHandshake, err, host+" answered the TLS handshake with something that is not TLS; is it plain http?")
	case isAlert(err):
		return fault.Wrap(fault.TLSHandshake, err, host+" refused the TLS handshake: "+alertReason(err))
	case errors.Is(err, io.EOF), isReset(err):
		return fault.Wrap(fault.TLSHandshake, err, host+" broke the connection during the TLS handshake")
	default:
		return fault.Wrap(fault.TLSHandshake, err, "the TLS handshake with "+host+" failed: "+err.Error())
	}
}

// namesOf are some of those that c is for. Whoever made it chose them.
func namesOf(c *x509.Certificate) string {
	const most, longest = 3, 64
	if c == nil || len(c.DNSNames) == 0 {
		return ""
	}
	var some []string
	for _, name := range c.DNSNames[:min(len(c.DNSNames), most)] {
		if len(name) > longest {
			name = name[:longest] + "…"
		}
		some = append(some, strconv.Quote(name))
	}
	if len(c.DNSNames) > most {
		some = append(some, fmt.Sprintf("%d more", len(c.DNSNames)-most))
	}
	return ": " + strings.Join(some, ", ")
}

func validity(c *x509.Certificate) string {
	if c == nil {
		return "see its dates"
	}
	const day = "2006-01-02"
	return "valid from " + c.NotBefore.UTC().Format(day) + " to " + c.NotAfter.UTC().Format(day)
}
