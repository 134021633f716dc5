package hostiletest

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const childPolicy = `
defaults:
  timeouts: {total: 30s}
upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.1]
    grants: [unsafe_skip_verify]
`

// service is built once for all tests; TestMain closes it.
var service testpeer.Service

// child is the service in a process of its own.
type child struct {
	*testpeer.Child
	client fetchsvcv1.FetchServiceClient
}

func start(t *testing.T) *child {
	t.Helper()
	c := service.Start(t, childPolicy)
	conn, err := grpc.NewClient(c.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &child{c, fetchsvcv1.NewFetchServiceClient(conn)}
}
