package server

import (
	"context"
	"slices"

	"google.golang.org/grpc"
)

// earlyRegistrar runs the interceptors of unary RPCs before their message is read.
// grpc-go reads it first, and it may have 17 MiB: anyone could have the service
// hold what nobody vouches for.
type earlyRegistrar struct {
	*grpc.Server
	interceptors *interceptors
	clocks       pacing
}

// RegisterService takes a service as grpc.Server does. Unary RPCs become streams of
// one message each way, which on the wire are the same.
func (r earlyRegistrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	early := *desc
	early.Methods, early.Streams = nil, slices.Clone(desc.Streams)
	for _, m := range desc.Methods {
		early.Streams = append(early.Streams, grpc.StreamDesc{
			StreamName: m.MethodName, Handler: r.oneByOne("/"+desc.ServiceName+"/"+m.MethodName, m),
		})
	}
	r.Server.RegisterService(&early, impl)
}

// oneByOne handles a unary RPC as a stream. It calls the interceptors itself:
// grpc-go leaves them out where no side streams.
func (r earlyRegistrar) oneByOne(fullMethod string, m grpc.MethodDesc) grpc.StreamHandler {
	info := &grpc.StreamServerInfo{FullMethod: fullMethod}
	handle := func(impl any, st grpc.ServerStream) error {
		receive := st.RecvMsg
		if open(fullMethod) { // nothing is read of what nobody vouches for: it means the whole service
			receive = func(any) error { return nil }
		}
		res, err := m.Handler(impl, st.Context(), receive, directly)
		if err != nil {
			return err
		}
		return st.SendMsg(res)
	}
	return func(impl any, st grpc.ServerStream) error {
		paced := r.clocks.over(st)
		defer paced.answered()
		return r.interceptors.stream(impl, paced, info, handle)
	}
}

// directly is the unary interceptor where the stream's was before.
func directly(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}
