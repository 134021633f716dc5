package contract

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// services asks the gRPC door by reflection what it serves.
func (w *world) services(t *testing.T) (names []string) {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(w.grpc).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	res, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range res.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	_ = stream.CloseSend()
	_, _ = stream.Recv() // to its end, so that nothing is left open
	return names
}

// TestGRPCReflectionAndHealth: what tools need to find their way.
func TestGRPCReflectionAndHealth(t *testing.T) {
	w := newWorld(t)
	for _, want := range []string{"fetchsvc.v1.FetchService", "fetchsvc.v1.PolicyService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} {
		if got := w.services(t); !slices.Contains(got, want) {
			t.Errorf("reflection lists %q, want %s among them", got, want)
		}
	}
	res, err := healthv1.NewHealthClient(w.grpc).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || res.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v, want SERVING", res.GetStatus(), err)
	}
}

// TestGRPCurl: the command line that the README shows, without proto files.
func TestGRPCurl(t *testing.T) {
	tool, err := exec.LookPath("grpcurl")
	if err != nil {
		tool, err = filepath.Abs(filepath.Join("..", "..", ".build", "bin", "grpcurl"))
		if err == nil {
			_, err = os.Stat(tool)
		}
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("grpcurl is missing; `make .build/tools/peer` builds it: %v", err)
		}
		t.Skipf("grpcurl is missing; `make .build/tools/peer` builds it: %v", err)
	}
	w := newWorld(t)
	up := testpeer.Echo(t)
	cmd := exec.CommandContext(t.Context(), tool, "-plaintext", "-d",
		`{"url":"`+up.URL+`/get","params":[{"name":"q","value":"python requests"}],"as":"TEXT"}`, w.addr, "fetchsvc.v1.FetchService/Fetch")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("grpcurl: %v\n%s", err, out)
	}
	var got struct {
		Status int
		Text   string
	}
	if err := json.Unmarshal(out, &got); err != nil || got.Status != 200 {
		t.Fatalf("grpcurl says %s (%v), want status 200", out, err)
	}
	if e := testpeer.ReadEcho(t, strings.NewReader(got.Text)); e.RequestURI != "/get?q=python+requests" {
		t.Errorf("the upstream was asked for %q, want /get?q=python+requests", e.RequestURI)
	}
}

// TestGRPCMuchTooLarge: what is far over 16 MiB is refused by grpc-go before a
// message exists, so with the code and without details.
func TestGRPCMuchTooLarge(t *testing.T) {
	w := newWorld(t)
	_, err := w.api.Fetch(t.Context(), &fetchsvcv1.FetchRequest{
		Url: "http://a.test/", Body: &fetchsvcv1.FetchRequest_Raw{Raw: make([]byte, 18<<20)},
	})
	if st := status.Convert(err); st.Code() != codes.ResourceExhausted || len(st.Details()) != 0 {
		t.Errorf("it ends with %v %q, details %v; want RESOURCE_EXHAUSTED without details", st.Code(), st.Message(), st.Details())
	}
}

// TestGRPCCompressed: a caller may compress its messages.
func TestGRPCCompressed(t *testing.T) {
	w := newWorld(t)
	up := testpeer.Raw(t, testpeer.OK)
	res, err := w.api.Fetch(t.Context(), &fetchsvcv1.FetchRequest{Url: up.URL}, grpc.UseCompressor(gzip.Name))
	if err != nil || string(res.GetBody()) != "ok" {
		t.Errorf("it ends with %q, %v, want ok", res.GetBody(), err)
	}
}
