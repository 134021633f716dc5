package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/signals"
)

// begin begins an RPC, under the caller's trace context.
func (i *interceptors) begin(ctx context.Context, method string) (context.Context, *signals.RPC) {
	b := signals.Begin{
		Method: method[1:], Known: i.methods[method], Door: "grpc",
		Call:   method == fetchsvcv1.FetchService_Fetch_FullMethodName || method == fetchsvcv1.FetchService_Stream_FullMethodName,
		Header: metadata.ValueFromIncomingContext, Authority: authorityOf,
	}
	if doorOf(ctx) == restDoor {
		b.Door = "rest"
	}
	if p, ok := peer.FromContext(ctx); ok {
		b.Peer = p.Addr
	}
	return i.signals.Begin(ctx, b)
}

// end ends it. By the RPC conventions a server's span is an error only where that is
// the server's own fault.
func end(rpc *signals.RPC, err error) {
	e := signals.End{Code: "OK"}
	if err != nil {
		f := asFailure(err).fault
		code := codeOf(f)
		e = signals.End{Code: codeNames[code], Err: f, Source: string(statusTable[f.Kind].source)}
		switch code {
		case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
			e.Broken = true
		}
	}
	rpc.End(e)
}

// methodsOf are the full names of all that s has, and the pages of REST beside them.
func methodsOf(s *grpc.Server) map[string]bool {
	all := map[string]bool{restPage: true}
	for service, info := range s.GetServiceInfo() {
		for _, m := range info.Methods {
			all["/"+service+"/"+m.Name] = true
		}
	}
	return all
}
