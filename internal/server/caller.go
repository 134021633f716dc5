package server

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/fetchsvc/fetchsvc/internal/identity"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// Verifier says who calls. *identity.Verifier is one.
type Verifier interface {
	// Verify gives who a proof proves. Its error is a *fault.Error.
	Verify(context.Context, identity.Proof) (identity.Identity, error)
}

// caller is who calls, as a context has it: the AuthInfo of its peer. Only
// identify makes one, so what a message or a header says cannot pass for it.
type caller struct {
	credentials.CommonAuthInfo
	name string
	// how it proved that, and the method that it called.
	how, rpc string
	// claims are those of its token; nil: it had none.
	claims map[string]any
	// token is what it proved that by, if that was a JWT: what may be exchanged for
	// another on its behalf.
	token secret.Value
	// quota is what the call was counted on, nil if it was not, and seated that it has
	// a place there.
	quota  *quota
	seated bool
}

// AuthType is the word for how the caller is known: by this service.
func (caller) AuthType() string { return "fetchsvc" }

// callerOf gives the caller. Without one the call came around the
// interceptors, which is a defect: no handler goes on.
func callerOf(ctx context.Context) *caller {
	c, ok := knownCaller(ctx)
	if !ok {
		panic("server: a call without a caller: it did not pass identify")
	}
	return c
}

func knownCaller(ctx context.Context) (*caller, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	c, ok := p.AuthInfo.(*caller)
	return c, ok
}

// identify finds out who calls, and puts that in the place of what proved it. It
// is asked once, when a call begins: a stream may outlive the token that opened it.
func (i *interceptors) identify(ctx context.Context, given proof) (context.Context, error) {
	if _, known := knownCaller(ctx); known {
		return ctx, nil // the REST door asked before it read the body
	}
	if i.verifier == nil {
		return withCaller(ctx, identity.Identity{Caller: anonymous}), nil
	}
	if given.bad != nil && len(i.engine.Snapshot().Proofs.Callers) > 0 { // else nobody is asked for a proof
		return ctx, given.bad
	}
	chain, err := i.chain(ctx)
	if err != nil {
		return ctx, err
	}
	id, err := i.verifier.Verify(ctx, identity.Proof{Chain: chain, Token: given.token})
	if err != nil {
		return ctx, err
	}
	ctx = withCaller(ctx, id)
	if id.How == identity.ByJWT {
		callerOf(ctx).token = secret.NewValue(given.token)
	}
	return ctx, nil
}

func withCaller(ctx context.Context, id identity.Identity) context.Context {
	both := &struct {
		peer   peer.Peer
		caller caller
	}{caller: caller{name: id.Caller, how: id.How, claims: id.Claims}}
	if p, ok := peer.FromContext(ctx); ok {
		both.peer = *p
	}
	if with, ok := both.peer.AuthInfo.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	}); ok {
		both.caller.CommonAuthInfo = with.GetCommonAuthInfo()
	}
	both.peer.AuthInfo = &both.caller
	return peer.NewContext(ctx, &both.peer)
}

// chain is the client's certificate with its issuers, verified; nil: there is none.
func (i *interceptors) chain(ctx context.Context) ([]*x509.Certificate, error) {
	p, ok := peer.FromContext(ctx)
	if !ok || i.tls == nil {
		return nil, nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, nil
	}
	return i.tls.trusted(info.State.VerifiedChains)
}

// open says that an RPC is for everyone: a load balancer has no identity. Watch is
// not: its streams never end, and each may hold a window of what was sent.
func open(fullMethod string) bool { return fullMethod == healthv1.Health_Check_FullMethodName }
