package server

import (
	"context"
	"reflect"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// inproc is a client connection that ends in this process: the REST door calls
// the very handlers, through the very interceptors, that the gRPC server runs,
// without a second HTTP/2 stack between.
//
// grpc-gateway's own in-process registration skips interceptors and refuses
// streams; that is why this exists.
type inproc struct {
	services     map[string]*service
	interceptors *interceptors
}

type service struct {
	impl    any
	methods map[string]*grpc.MethodDesc
	streams map[string]*grpc.StreamDesc
}

var (
	_ grpc.ClientConnInterface = (*inproc)(nil)
	_ grpc.ServiceRegistrar    = (*inproc)(nil)
)

// RegisterService takes a service as grpc.Server does.
func (c *inproc) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s := &service{impl: impl, methods: map[string]*grpc.MethodDesc{}, streams: map[string]*grpc.StreamDesc{}}
	for i := range desc.Methods {
		s.methods[desc.Methods[i].MethodName] = &desc.Methods[i]
	}
	for i := range desc.Streams {
		s.streams[desc.Streams[i].StreamName] = &desc.Streams[i]
	}
	if c.services == nil {
		c.services = map[string]*service{}
	}
	c.services[desc.ServiceName] = s
}

func (c *inproc) find(fullMethod string) (*service, string, error) {
	name, method, ok := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	if s := c.services[name]; ok && s != nil {
		return s, method, nil
	}
	return nil, "", status.Errorf(codes.Unimplemented, "unknown service %s", name)
}

// Invoke runs a unary RPC on the caller's goroutine.
func (c *inproc) Invoke(ctx context.Context, fullMethod string, args, reply any, _ ...grpc.CallOption) error {
	s, method, err := c.find(fullMethod)
	if err != nil {
		return err
	}
	desc := s.methods[method]
	if desc == nil {
		return status.Errorf(codes.Unimplemented, "unknown method %s", fullMethod)
	}
	ctx = grpc.NewContextWithServerTransportStream(serverContext(ctx), &transportStream{method: fullMethod})
	decode := func(into any) error { return share(into, args) }
	res, err := desc.Handler(s.impl, ctx, decode, c.interceptors.unary)
	if err != nil {
		return err
	}
	return share(reply, res)
}

// serverContext is what a handler sees: the client's outgoing metadata, as far
// as it is allowed in, has become incoming.
func serverContext(ctx context.Context) context.Context {
	sent, _ := metadata.FromOutgoingContext(ctx)
	in := metadata.MD{}
	for key := range allowedMetadata {
		if v := sent[key]; len(v) > 0 {
			in[key] = v
		}
	}
	return metadata.NewOutgoingContext(metadata.NewIncomingContext(ctx, in), metadata.MD{})
}

// allowedMetadata is all that a REST caller can say in gRPC metadata.
var allowedMetadata = map[string]bool{"traceparent": true, "tracestate": true, "baggage": true}

// share makes into the same message as from without copying what it holds:
// whoever gave from is done with it.
func share(into, from any) error {
	dst, ok1 := into.(proto.Message)
	src, ok2 := from.(proto.Message)
	if !ok1 || !ok2 || reflect.TypeOf(into) != reflect.TypeOf(from) {
		return status.Errorf(codes.Internal, "message is a %T, want a %T", from, into)
	}
	to := dst.ProtoReflect()
	src.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(fd, v)
		return true
	})
	return nil
}

// transportStream lets handlers set headers; REST has no use for them.
type transportStream struct{ method string }

func (t *transportStream) Method() string               { return t.method }
func (t *transportStream) SetHeader(metadata.MD) error  { return nil }
func (t *transportStream) SendHeader(metadata.MD) error { return nil }
func (t *transportStream) SetTrailer(metadata.MD) error { return nil }

// NewStream runs a streaming RPC on a goroutine that ends with its handler.
func (c *inproc) NewStream(ctx context.Context, _ *grpc.StreamDesc, fullMethod string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	s, method, err := c.find(fullMethod)
	if err != nil {
		return nil, err
	}
	desc := s.streams[method]
	if desc == nil {
		return nil, status.Errorf(codes.Unimplemented, "unknown method %s", fullMethod)
	}
	st := newPipe(ctx)
	server := &serverEnd{pipe: st, ctx: grpc.NewContextWithServerTransportStream(serverContext(st.ctx), &transportStream{method: fullMethod})}
	info := &grpc.StreamServerInfo{FullMethod: fullMethod, IsClientStream: desc.ClientStreams, IsServerStream: desc.ServerStreams}
	go func() { st.finish(c.interceptors.stream(s.impl, server, info, desc.Handler)) }()
	return &clientEnd{pipe: st}, nil
}
