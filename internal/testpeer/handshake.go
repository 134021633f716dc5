package testpeer

import "testing"

// TLSGarbage answers a ClientHello with a line of plain text: the client sees
// something that is no TLS record.
func TLSGarbage(t testing.TB) *RawServer {
	t.Helper()
	return startRaw(t, "https", nil, func(c *RawConn) {
		c.ReadSome()
		c.Write("220 mail.example.com ESMTP ready, and no TLS here\r\n")
		c.Linger()
	})
}

// TLSStall accepts TCP and never answers the ClientHello: the client's
// handshake runs until its clock does.
func TLSStall(t testing.TB) *RawServer {
	t.Helper()
	return startRaw(t, "https", nil, (*RawConn).Stall)
}

// TLSReset resets on the ClientHello: the client sees ECONNRESET in the
// handshake.
func TLSReset(t testing.TB) *RawServer {
	t.Helper()
	return startRaw(t, "https", nil, func(c *RawConn) {
		c.ReadSome()
		c.Reset()
	})
}

// TLSClose hangs up on the ClientHello: the client sees EOF in the handshake.
func TLSClose(t testing.TB) *RawServer {
	t.Helper()
	return startRaw(t, "https", nil, func(c *RawConn) {
		c.ReadSome()
		c.Linger()
	})
}
