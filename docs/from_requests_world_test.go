package docs_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// requestsPolicy opens every upstream of the cases, and grants what requests may
// decide for itself.
const requestsPolicy = `
defaults:
  retry: {max: {max_attempts: 10}, budget: {unlimited: true}}
upstreams:
  - name: peers
    hosts: ["127.0.0.1:*", "localhost:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8, "::1"]
    grants: [request_proxy, request_ca, request_client_cert, unsafe_skip_verify]
`

// requestsWorld is a running service, a client for each door, and requests.
type requestsWorld struct {
	ca     *testpeer.CA
	caFile string
	bin    string // go-httpbin
	rest   string // base URL
	api    fetchsvcv1.FetchServiceClient
	python *python // nil: not installed
}

func newRequestsWorld(t *testing.T) *requestsWorld {
	t.Helper()
	w := &requestsWorld{ca: testpeer.NewCA(t), bin: testpeer.HTTPBin(t)}
	w.caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(w.caFile, w.ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startServe(t, build(t), requestsPolicy, "SSL_CERT_FILE="+w.caFile)
	w.rest = "http://127.0.0.1:" + c.rest
	conn, err := grpc.NewClient("127.0.0.1:"+c.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w.api = fetchsvcv1.NewFetchServiceClient(conn)
	return w
}

// fetchAnswer is what came of one call.
type fetchAnswer struct {
	reason, detail string // of a failure

	res     map[string]any // FetchResponse; of a Stream its head and end in one
	content []byte
	lines   []any // of a Stream: line or event messages
}

// doors are the ways to make a case's calls. Each gives the answers, or at once
// what is compared.
func (c *requestsCase) doors(w *requestsWorld, names map[string]string) map[string]func(*testing.T) ([]*fetchAnswer, any) {
	each := func(call func(*testing.T, string) *fetchAnswer) func(*testing.T) ([]*fetchAnswer, any) {
		return func(t *testing.T) (all []*fetchAnswer, _ any) {
			for _, body := range c.fetch {
				all = append(all, call(t, fill(names, body)))
			}
			return all, nil
		}
	}
	switch {
	case c.do != nil:
		return map[string]func(*testing.T) ([]*fetchAnswer, any){
			"its own way": func(t *testing.T) ([]*fetchAnswer, any) { return nil, c.do(t, w, names) },
		}
	case c.stream != "":
		return map[string]func(*testing.T) ([]*fetchAnswer, any){
			"REST": func(t *testing.T) ([]*fetchAnswer, any) {
				return []*fetchAnswer{w.stream(t, fill(names, c.stream))}, nil
			},
		}
	case c.batch != "":
		return map[string]func(*testing.T) ([]*fetchAnswer, any){
			"REST": func(t *testing.T) ([]*fetchAnswer, any) { return w.batch(t, fill(names, c.batch)), nil },
		}
	}
	return map[string]func(*testing.T) ([]*fetchAnswer, any){"REST": each(w.fetch), "gRPC": each(w.call)}
}

func (w *requestsWorld) post(t *testing.T, path, body string) *http.Response {
	t.Helper()
	res, err := http.Post(w.rest+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// fetch is Fetch over REST.
func (w *requestsWorld) fetch(t *testing.T, body string) *fetchAnswer {
	t.Helper()
	return newAnswer(t, w.post(t, "/v1/fetch", body).Body)
}

// call is Fetch over gRPC.
func (w *requestsWorld) call(t *testing.T, body string) *fetchAnswer {
	t.Helper()
	req := &fetchsvcv1.FetchRequest{}
	if err := protojson.Unmarshal([]byte(body), req); err != nil {
		// REST refuses what is no message; there is nothing to send here.
		return &fetchAnswer{reason: "INVALID_REQUEST"}
	}
	if req.As == fetchsvcv1.FetchRequest_AS_UNSPECIFIED {
		req.As = fetchsvcv1.FetchRequest_AUTO // as over REST
	}
	res, err := w.api.Fetch(t.Context(), req)
	if err != nil {
		a := &fetchAnswer{detail: status.Convert(err).Message()}
		for _, d := range status.Convert(err).Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "fetchsvc" {
				a.reason = info.GetReason()
			}
		}
		return a
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	return newAnswer(t, bytes.NewReader(text))
}

func newAnswer(t *testing.T, r io.Reader) *fetchAnswer {
	t.Helper()
	a := &fetchAnswer{}
	if err := json.NewDecoder(r).Decode(&a.res); err != nil {
		t.Fatalf("the answer is no JSON: %v", err)
	}
	a.take(t, a.res)
	return a
}

// take reads the members of a FetchResponse or a problem.
func (a *fetchAnswer) take(t *testing.T, res map[string]any) {
	t.Helper()
	a.res = res
	if _, failed := res["grpc_code"]; failed {
		a.reason, _ = res["reason"].(string)
		a.detail, _ = res["detail"].(string)
	}
	if text, ok := res["text"].(string); ok {
		a.content = []byte(text)
	}
	if coded, ok := res["body"].(string); ok {
		a.content = unbase64(t, coded)
	}
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// stream is Stream over REST.
func (w *requestsWorld) stream(t *testing.T, body string) *fetchAnswer {
	t.Helper()
	a := &fetchAnswer{res: map[string]any{}}
	for dec := json.NewDecoder(w.post(t, "/v1/stream", body).Body); ; {
		var m map[string]any
		if err := dec.Decode(&m); errors.Is(err, io.EOF) || a.reason != "" {
			return a
		} else if err != nil {
			t.Fatalf("a line is no JSON: %v", err)
		}
		for kind, v := range m {
			switch kind {
			case "head", "end":
				for k, member := range v.(map[string]any) {
					a.res[k] = member
				}
			case "chunk":
				a.content = append(a.content, unbase64(t, v.(string))...)
			case "line", "event":
				a.lines = append(a.lines, v)
			case "error":
				a.take(t, v.(map[string]any))
			}
		}
		if _, failed := m["grpc_code"]; failed { // before the head
			a.take(t, m)
		}
	}
}

// batch is FetchBatch over REST: the answers in the order of the requests.
func (w *requestsWorld) batch(t *testing.T, body string) []*fetchAnswer {
	t.Helper()
	var all []*fetchAnswer
	for dec := json.NewDecoder(w.post(t, "/v1/fetch:batch", body).Body); ; {
		var m struct {
			Index    int
			Response map[string]any
			Error    *struct {
				Message string
				Details []struct{ Reason string }
			}
		}
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("a line is no JSON: %v", err)
		}
		for len(all) <= m.Index {
			all = append(all, nil)
		}
		a := &fetchAnswer{}
		if m.Error != nil {
			a.reason, a.detail = m.Error.Details[0].Reason, m.Error.Message
		} else {
			a.take(t, m.Response)
		}
		all[m.Index] = a
	}
}

// python is a process that makes calls with requests.
type python struct {
	in  io.Writer
	out *bufio.Scanner
}

// pythonCase is one line to it.
type pythonCase struct {
	Code  string            `json:"code"`
	View  string            `json:"view"`
	Names map[string]string `json:"names"`
}

func newPython(t *testing.T) *python {
	t.Helper()
	script, err := os.ReadFile("testdata/requests_peer.py") // here, so that `go test` knows that the result depends on it
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(debianPython, "-c", string(script))
	command.Env = []string{"LC_ALL=C.UTF-8"}
	var errs strings.Builder
	command.Stderr = &errs
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("python ended with %v:\n%s", err, errs.String())
		}
	})
	p := &python{in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 4<<20)
	return p
}

// run makes one case and gives what it shows, as JSON.
func (p *python) run(t *testing.T, c pythonCase) json.RawMessage {
	t.Helper()
	if c.Names == nil {
		c.Names = map[string]string{}
	}
	line, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if !p.out.Scan() {
		t.Fatalf("python says nothing: %v", p.out.Err())
	}
	return bytes.Clone(p.out.Bytes())
}
