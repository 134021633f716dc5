package fault

// OfAttempt says that an attempt can end with k, so that a policy may name it
// among what is tried again.
func (k Kind) OfAttempt() bool {
	switch k {
	case DNSError, DNSTimeout, ConnectionRefused, HostUnreachable, ConnectTimeout, TLSTimeout, TLSHandshake,
		ConnectionReset, FirstByteTimeout, IdleTimeout, AttemptTimeout, BodyCutShort, BadResponse,
		ProxyUnreachable, ProxyTLS, ProxyBadResponse, Overloaded:
		return true
	}
	return false
}

// MayPass says that the same request may fare better another time. Certificates,
// denials and limits stay what they are.
func (k Kind) MayPass() bool {
	return k.OfAttempt() || k == TotalTimeout || k == PoolFull || k == PoolTimeout
}
