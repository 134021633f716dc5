package memtest

import (
	"os"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

const policyText = `
defaults:
  timeouts: {total: 10m, idle: 2m, max: {total: 1h}}
upstreams:
  - name: local
    hosts: ["127.0.0.1:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.1]
`

// service is built once for all tests; TestMain closes it.
var service testpeer.Service

func TestMain(m *testing.M) {
	code := m.Run()
	service.Close()
	os.Exit(code)
}

// child is the service in a process of its own.
type child struct {
	*testpeer.Child
	client fetchsvcv1.FetchServiceClient
}

func start(t *testing.T) *child {
	t.Helper()
	c := service.Start(t, policyText)
	conn, err := grpc.NewClient(c.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &child{c, fetchsvcv1.NewFetchServiceClient(conn)}
}
