package main

import (
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// maxAnswer holds a response of 64 MiB, the ceiling, with its envelope.
const maxAnswer = 64<<20 + 8<<20

// dial makes a connection to the service's gRPC door. It is opened by the first
// call.
func dial(server string) (*grpc.ClientConn, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		return nil, fmt.Errorf("--server %q: write HOST:PORT of the gRPC door, such as 127.0.0.1:9090", server)
	}
	conn, err := grpc.NewClient(server,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(), // fetchsvc is where proxies are chosen, not behind one
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("fetchsvc/"+version),
	)
	if err != nil {
		return nil, fmt.Errorf("--server %q: %w", server, err)
	}
	return conn, nil
}

const serverUsage = "`HOST:PORT` of the service's gRPC door (or set FETCHSVC_SERVER)"

// defaultServer is where the service is looked for.
func defaultServer() string {
	if s := os.Getenv("FETCHSVC_SERVER"); s != "" {
		return s
	}
	return "127.0.0.1:9090"
}
