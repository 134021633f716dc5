package server

import (
	"context"
	"strings"

	"google.golang.org/grpc/peer"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Origin is where a call came from, for those who observe calls.
type Origin struct {
	// Caller is who called, and Proof how that is known: `api_key`, `jwt`, `mtls`
	// or `anonymous`. Both are empty where it is not known.
	Caller, Proof string
	// Door is `grpc` or `rest`; empty for calls of the service's own.
	Door string
	// RPC is the method, such as `fetchsvc.v1.FetchService/Fetch`.
	RPC string
}

// OriginOf gives the origin of the call that ctx belongs to.
func OriginOf(ctx context.Context) Origin {
	o := Origin{}
	switch _, ok := peer.FromContext(ctx); {
	case doorOf(ctx) == restDoor:
		o.Door = "rest"
	case ok: // a call of the service's own comes by no door
		o.Door = "grpc"
	}
	if c, ok := knownCaller(ctx); ok {
		o.Caller, o.Proof, o.RPC = c.name, c.how, c.rpc
	}
	return o
}

// refusals tells who wants to know of calls that never came to the engine.
type refusals func(ctx context.Context, rpc string, f *fault.Error)

// tell passes err on, unless the engine had the call: it has observers of its own.
// RPCs that make no calls are told of where the door stopped them only.
func (r refusals) tell(ctx context.Context, rpc string, err error) {
	if r == nil || err == nil {
		return
	}
	f := asFailure(err)
	if f.tried != nil || !atTheDoor(f.fault.Kind) && !strings.HasPrefix(rpc, "/"+fetchsvcv1.FetchService_ServiceDesc.ServiceName+"/") {
		return
	}
	r(ctx, strings.TrimPrefix(rpc, "/"), f.fault)
}

// atTheDoor says that a failure of kind k stops a call before anyone reads it.
func atTheDoor(k fault.Kind) bool {
	switch k {
	case fault.Unauthenticated, fault.LoopDetected, fault.ForeignOrigin, fault.RateLimited, fault.TooManyCalls, fault.ShuttingDown:
		return true
	}
	return false
}
