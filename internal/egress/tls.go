package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// secure runs the TLS handshake on a fresh connection, within its own clock.
func (p *pool) secure(ctx context.Context, raw *conn, hostport string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a malformed address reached the TLS dialer")
	}
	cfg := p.tls.Clone()
	cfg.ServerName = host
	ctx, cancel := context.WithTimeout(ctx, p.handshake)
	defer cancel()
	start := time.Now()
	tc := tls.Client(raw, cfg)
	err = tc.HandshakeContext(ctx)
	recordFrom(ctx).secured(time.Since(start))
	if err != nil {
		_ = raw.Close()
		return nil, tlsFault(ctx, err, host, p.handshake)
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
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case outerCause(ctx) != nil:
		return outerCause(ctx)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.TLSTimeout, err, "the TLS handshake with "+host+" took longer than the tls clock of "+limit.String())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fault.Wrap(fault.TLSCertExpired, err, "the certificate of "+host+" is out of date: "+validity(invalid.Cert))
	case errors.As(err, &name):
		return fault.Wrap(fault.TLSCertName, err, "the certificate of the server at "+host+" is for other names")
	case errors.As(err, &unknown):
		return fault.Wrap(fault.TLSCertUntrusted, err, "the certificate of "+host+" is signed by no authority that is trusted here")
	case errors.As(err, &invalid):
		return fault.Wrap(fault.TLSCertUntrusted, err, "the certificate of "+host+" is not acceptable: "+invalid.Error())
	case errors.As(err, &record):
		return fault.Wrap(fault.TLSHandshake, err, host+" answered the TLS handshake with something that is not TLS; is it plain http?")
	case errors.As(err, &alert):
		return fault.Wrap(fault.TLSHandshake, err, host+" refused the TLS handshake: "+alert.Error())
	case errors.Is(err, io.EOF), isReset(err):
		return fault.Wrap(fault.TLSHandshake, err, host+" broke the connection during the TLS handshake")
	default:
		return fault.Wrap(fault.TLSHandshake, err, "the TLS handshake with "+host+" failed: "+err.Error())
	}
}

func validity(c *x509.Certificate) string {
	if c == nil {
		return "see its dates"
	}
	const day = "2006-01-02"
	return "valid from " + c.NotBefore.UTC().Format(day) + " to " + c.NotAfter.UTC().Format(day)
}
