package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// rpc is one RPC of the API and both ways to call it.
type rpc struct {
	protoreflect.MethodDescriptor
	verb, path string
}

// rpcs are all RPCs of the API, from its descriptors.
func rpcs(t *testing.T) (all []rpc) {
	t.Helper()
	for _, file := range []protoreflect.FileDescriptor{fetchsvcv1.File_fetchsvc_v1_service_proto, fetchsvcv1.File_fetchsvc_v1_policy_service_proto} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
				r := rpc{m, http.MethodPost, rule.GetPost()}
				if rule.GetGet() != "" {
					r.verb, r.path = http.MethodGet, rule.GetGet()
				}
				if r.path == "" {
					t.Errorf("%s has no REST path that this test knows", m.FullName())
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// overGRPC calls with a message in JSON, and gives the first answer or the error.
func (r rpc) overGRPC(t *testing.T, w *world, in string) (proto.Message, error) {
	t.Helper()
	msg, out := dynamicpb.NewMessage(r.Input()), dynamicpb.NewMessage(r.Output())
	if err := protojson.Unmarshal([]byte(in), msg); err != nil {
		t.Fatalf("%s: %v", r.FullName(), err)
	}
	name := "/" + string(r.Parent().FullName()) + "/" + string(r.Name())
	if !r.IsStreamingClient() && !r.IsStreamingServer() {
		return out, w.grpc.Invoke(t.Context(), name, msg, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	desc := &grpc.StreamDesc{ClientStreams: r.IsStreamingClient(), ServerStreams: r.IsStreamingServer()}
	stream, err := w.grpc.NewStream(ctx, desc, name)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(msg); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	_ = stream.CloseSend()
	return out, stream.RecvMsg(out)
}

// offences are, for each RPC whose request has constraints, a request that breaks
// one, and the field that must be named.
var offences = map[protoreflect.FullName]struct{ in, field string }{
	"fetchsvc.v1.FetchService.Fetch":      {`{"url":"http://a.test/","max_response_bytes":"-1"}`, "max_response_bytes"},
	"fetchsvc.v1.FetchService.Stream":     {`{"start":{"url":"http://a.test/","max_response_bytes":"-1"}}`, "start.max_response_bytes"},
	"fetchsvc.v1.FetchService.FetchBatch": {`{"requests":[{"url":"http://a.test/"}],"max_concurrency":0}`, "max_concurrency"},
	"fetchsvc.v1.PolicyService.Explain":   {`{}`, "request"},
}

// TestNoDoorBypassesTheConstraints sends every RPC a request that breaks a
// constraint, by both doors, and sees the same violation.
func TestNoDoorBypassesTheConstraints(t *testing.T) {
	w := newWorld(t)
	for _, r := range rpcs(t) {
		t.Run(string(r.FullName()), func(t *testing.T) {
			if !slices.Contains(w.services(t), string(r.Parent().FullName())) {
				t.Errorf("the gRPC door does not serve %s", r.Parent().FullName())
			}
			bad, ok := offences[r.FullName()]
			if !ok {
				if r.Input().Fields().Len() > 0 {
					t.Fatal("it takes a request with fields: add one to offences that breaks a constraint")
				}
				return // nothing to break; TestNoDoorBypassesTheRecovery sees it in the pipeline
			}
			_, err := r.overGRPC(t, w, bad.in)
			g := ofStatus(err, strings.NewReplacer())
			res, text := w.do(t, r.verb, r.path, bad.in, nil)
			rest := expectProblem(t, res, text, "INVALID_REQUEST")
			if g.Kind != "INVALID_REQUEST" || len(g.Violations) != 1 || g.Violations[0].Field != bad.field {
				t.Errorf("over gRPC it ends with %v, want a violation of %s", err, bad.field)
			}
			if !slices.Equal(g.Violations, rest.Violations) {
				t.Errorf("REST names %q (%s), gRPC %q, want the same", rest.Violations, rest.Message, g.Violations)
			}
		})
	}
}

// innocent are requests that every RPC takes.
var innocent = map[protoreflect.FullName]string{
	"fetchsvc.v1.FetchService.Fetch":      `{"url":"http://a.test/"}`,
	"fetchsvc.v1.FetchService.Stream":     `{"start":{"url":"http://a.test/"}}`,
	"fetchsvc.v1.FetchService.FetchBatch": `{"requests":[{"url":"http://a.test/"}]}`,
	"fetchsvc.v1.PolicyService.Explain":   `{"request":{"url":"http://a.test/"}}`,
}

// TestNoDoorBypassesTheRecovery calls every RPC of a service whose engine was
// never made, so that handlers panic. Only the interceptors name the RPC in the
// log and answer INTERNAL with the details of this API.
func TestNoDoorBypassesTheRecovery(t *testing.T) {
	var log memoryLog
	w := serve(t, new(fetch.Engine), slog.New(slog.NewJSONHandler(&log, nil)))
	for _, r := range rpcs(t) {
		t.Run(string(r.FullName()), func(t *testing.T) {
			in := innocent[r.FullName()]
			if in == "" {
				in = "{}"
			}
			method := "/" + string(r.Parent().FullName()) + "/" + string(r.Name())
			log.reset()
			out, err := r.overGRPC(t, w, in)
			if err == nil {
				err = itemError(t, out)
			}
			if g := ofStatus(err, strings.NewReplacer()); g.Kind != "INTERNAL" || len(g.faults) > 0 {
				t.Errorf("over gRPC it ends with %v %q, want INTERNAL", err, g.faults)
			}
			if got := log.panics(method); got != 1 {
				t.Errorf("over gRPC it left %d log lines of a panic in %s, want 1", got, method)
			}
			log.reset()
			res, text := w.do(t, r.verb, r.path, in, nil)
			switch {
			case r.Name() == "FetchBatch" && strings.Contains(string(text), "INTERNAL"):
			default:
				expectProblem(t, res, text, "INTERNAL")
			}
			if got := log.panics(method); got != 1 {
				t.Errorf("over REST it left %d log lines of a panic in %s, want 1", got, method)
			}
		})
	}
}

// itemError is the error of a batch's item.
func itemError(t *testing.T, out proto.Message) error {
	t.Helper()
	wire, err := proto.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var item fetchsvcv1.FetchBatchResponse
	if err := proto.Unmarshal(wire, &item); err != nil || item.GetError() == nil {
		t.Fatalf("it answered %v, want an error", out)
	}
	return status.ErrorProto(item.GetError())
}

// memoryLog is a log in memory.
type memoryLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *memoryLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *memoryLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

// panics counts the lines of a panic in method.
func (l *memoryLog) panics(method string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text.Bytes()) {
		var entry struct {
			Msg    string
			Method string `json:"rpc.method"`
		}
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "panic" && entry.Method == method {
			n++
		}
	}
	return n
}
