package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// door is the way a call came in.
type door uint8

const (
	grpcDoor door = iota
	restDoor
)

type doorKey struct{}

func doorOf(ctx context.Context) door {
	if _, rest := ctx.Value(doorKey{}).(*http.Request); rest {
		return restDoor
	}
	return grpcDoor
}

// authorityOf gives the host and port that the caller asked for; empty: it did not say.
func authorityOf(ctx context.Context) string {
	if r, rest := ctx.Value(doorKey{}).(*http.Request); rest {
		return r.Host
	}
	if all := metadata.ValueFromIncomingContext(ctx, ":authority"); len(all) > 0 {
		return all[0]
	}
	return ""
}

// enterREST marks a request as come by REST and gives it the peer that a gRPC
// call would have.
func enterREST(r *http.Request) *http.Request {
	ctx := context.WithValue(r.Context(), doorKey{}, r)
	p := &peer.Peer{}
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.Addr = net.TCPAddrFromAddrPort(addr)
	}
	if local, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr); ok {
		p.LocalAddr = local
	}
	if r.TLS != nil {
		p.AuthInfo = credentials.TLSInfo{
			State: *r.TLS, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		}
	}
	return r.WithContext(peer.NewContext(ctx, p))
}
