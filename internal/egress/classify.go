package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// RoundTripFault gives a failed RoundTrip its kind. ctx is the try's context: a
// clock or a caller that ended it left its reason there.
func RoundTripFault(ctx context.Context, err error) *fault.Error {
	if f := contextFault(ctx, err); f != nil {
		return f
	}
	text := err.Error()
	err = unquoted{err}
	switch {
	case strings.Contains(text, "request header list larger"):
		return fault.Wrap(fault.RequestTooLarge, err, "the upstream announced that it takes less of headers than there are in this request: send fewer or shorter ones")
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "response header list larger"),
		strings.Contains(text, "headers too long"), strings.Contains(text, "header list too large"):
		// net/http has no type for it.
		return fault.Wrap(fault.ResponseHeaderTooLarge, err, "the response head is larger than the policy's response_header size")
	case strings.Contains(text, "http2: client conn could not be established") && !recordFrom(ctx).wentBare():
		// net/http keeps what ended it to itself.
		return fault.Wrap(fault.ConnectionReset, err, "the HTTP/2 connection ended before the request went out: the upstream closed it, or does not speak HTTP/2")
	case isReset(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(text, "server closed idle connection"), strings.Contains(text, "cannot rewind body"),
		strings.Contains(text, "stream error"), strings.Contains(text, "GOAWAY"),
		strings.Contains(text, "http2: client conn"): // lost, closed, unusable
		if recordFrom(ctx).wentBare() && !strings.Contains(text, "stream error") && !strings.Contains(text, "GOAWAY") {
			// In TLS 1.3 the refusal comes after the handshake, and as the request is
			// written, the alert is easily lost.
			return fault.Wrap(fault.TLSHandshake, err, bareReason)
		}
		return fault.Wrap(fault.ConnectionReset, err, "the upstream closed the connection before a complete response head")
	case isAlert(err):
		// In TLS 1.3 the client's side is done before the server has judged its
		// certificate, so this comes as the answer to the request.
		return fault.Wrap(fault.TLSHandshake, err, "the upstream ended the TLS session: "+alertReason(err))
	case strings.Contains(text, "readLoopPeekFailLocked"):
		if recordFrom(ctx).wentBare() {
			return fault.Wrap(fault.TLSHandshake, err, bareReason)
		}
		return fault.Wrap(fault.BadResponse, err, "the upstream spoke before it was asked")
	default:
		return fault.Wrap(fault.BadResponse, err, "the upstream's answer is not valid HTTP: "+protocolReason(text))
	}
}

const bareReason = "the upstream asked for a client certificate, got none and closed the connection: see client_certificate in the policy"

// Unprocessed says that the upstream refused a request before it took any of it:
// HTTP/2 REFUSED_STREAM, or a stream above the last one that GOAWAY admits
// (RFC 9113 section 8.7). net/http has no types for it.
func Unprocessed(err error) bool {
	text := err.Error()
	return strings.Contains(text, "REFUSED_STREAM") || strings.Contains(text, "graceful shutdown GOAWAY")
}

// BodyFault gives a failed read of a response body its kind. got is how many bytes of it
// came, and of how many it was to have; negative: that is not known.
func BodyFault(ctx context.Context, err error, got, of int64) *fault.Error {
	if f := contextFault(ctx, err); f != nil {
		return f
	}
	text := err.Error()
	err = unquoted{err}
	switch {
	case isReset(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(text, "stream error"), strings.Contains(text, "GOAWAY"),
		strings.Contains(text, "client connection lost"), strings.Contains(text, "connection force closed"):
		came := strconv.FormatInt(got, 10)
		if of >= 0 {
			came += " of " + strconv.FormatInt(of, 10)
		}
		return fault.Wrap(fault.BodyCutShort, err, "the connection ended before the response body did, after "+came+" bytes")
	default:
		return fault.Wrap(fault.BadResponse, err, "the response body is not framed as HTTP has it: "+protocolReason(text))
	}
}

// contextFault prefers the reason that a clock left over the error it caused.
func contextFault(ctx context.Context, err error) *fault.Error {
	var f *fault.Error
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &f) {
		return f
	}
	if errors.As(err, &f) {
		return f
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.TotalTimeout, err, "the caller's deadline passed")
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.Wrap(fault.Cancelled, err, "the caller cancelled the call")
	}
	return nil
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, net.ErrClosed)
}

// isAlert says that the peer sent a TLS alert, which crypto/tls has no type for.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// alertReason is what the peer's alert says, with what to do where that is plain.
func alertReason(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Err == nil {
		return protocolReason(err.Error())
	}
	text := protocolReason(op.Err.Error())
	if strings.HasSuffix(text, "certificate required") {
		text += " (it wants a client certificate: see client_certificate in the policy)"
	}
	return text
}

// unquoted is an error of net/http without what it quotes of the peer's bytes: a server
// that answers with the request it got would have the request's secrets in messages,
// logs and traces.
type unquoted struct{ error }

func (s unquoted) Error() string { return protocolReason(s.error.Error()) }

func (s unquoted) Unwrap() error { return s.error }

// protocolReason is what net/http says, without its own prefixes and what it quotes.
func protocolReason(text string) string {
	for _, prefix := range []string{"net/http: HTTP/1.x transport connection broken: ", "net/http: ", "http: ", "http2: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	hint := spoken(text)
	for _, quote := range []string{`"`, "MIME header line: ", "MIME header initial line: "} {
		if at := strings.Index(text, quote); at >= 0 {
			text = text[:at] + strings.TrimRight(quote, `": `)
		}
	}
	text = strings.TrimRight(strings.TrimSuffix(strings.TrimRight(text, " [:"), "; got"), " :;=,")
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD") + hint
}

// spoken tells what the peer speaks in place of HTTP, where its first bytes do.
func spoken(text string) string {
	_, first, _ := strings.Cut(text, `malformed HTTP response "`)
	switch {
	case strings.HasPrefix(first, "SSH-"):
		return " (it speaks SSH)"
	case strings.HasPrefix(first, `\x15\x03`):
		return " (it speaks TLS: call it by https)"
	case strings.HasPrefix(first, `\x00\x00`):
		return " (it speaks HTTP/2)"
	}
	return ""
}
