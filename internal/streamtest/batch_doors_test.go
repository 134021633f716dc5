package streamtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// batch is one FetchBatch as a caller has it.
type batch struct {
	recv   func() (*fetchsvcv1.FetchBatchResponse, error)
	cancel func()
	close  func()
}

type batchDoor struct {
	name string
	open func(ctx context.Context, t testing.TB, w *world, in *fetchsvcv1.FetchBatchRequest) *batch
}

func batchDoors() []batchDoor {
	rest := func(accept string) func(context.Context, testing.TB, *world, *fetchsvcv1.FetchBatchRequest) *batch {
		return func(ctx context.Context, t testing.TB, w *world, in *fetchsvcv1.FetchBatchRequest) *batch {
			return openRESTBatch(ctx, t, w, in, accept)
		}
	}
	return []batchDoor{{"gRPC", openGRPCBatch}, {"REST", rest("application/x-ndjson")}, {"SSE", rest("text/event-stream")}}
}

func openGRPCBatch(ctx context.Context, t testing.TB, w *world, in *fetchsvcv1.FetchBatchRequest) *batch {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	st, err := w.api.FetchBatch(ctx, in)
	if err != nil {
		cancel()
		t.Fatalf("FetchBatch: %v", err)
	}
	recv := func() (*fetchsvcv1.FetchBatchResponse, error) {
		m, err := st.Recv()
		if err != nil && err != io.EOF {
			return nil, ofStatus(err)
		}
		return m, err
	}
	return &batch{recv, cancel, cancel}
}

func openRESTBatch(ctx context.Context, t testing.TB, w *world, in *fetchsvcv1.FetchBatchRequest, accept string) *batch {
	t.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.rest+"/v1/fetch:batch", bytes.NewReader(text))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	answered := make(chan struct{})
	var res *http.Response
	var failed error
	go func() {
		defer close(answered)
		res, failed = w.web.Do(r)
	}()
	var lines *bufio.Reader
	recv := func() (*fetchsvcv1.FetchBatchResponse, error) {
		<-answered
		if failed != nil {
			return nil, fmt.Errorf("the POST failed without an answer: %w", failed)
		}
		if res.StatusCode != http.StatusOK {
			text, err := io.ReadAll(res.Body)
			return nil, errors.Join(ofProblem(res, text), err)
		}
		if lines == nil {
			lines = bufio.NewReaderSize(res.Body, 64<<10)
			if got := res.Header.Get("Content-Type"); got != accept {
				return nil, fmt.Errorf("Content-Type is %q, want %q", got, accept)
			}
		}
		name, data, err := readUnit(lines, accept == "text/event-stream")
		if err != nil {
			return nil, err
		}
		m := &fetchsvcv1.FetchBatchResponse{}
		if err := protojson.Unmarshal(data, m); err != nil {
			return nil, fmt.Errorf("a line is no FetchBatchResponse: %w: %.200q", err, data)
		}
		if want := map[bool]string{true: "error", false: "response"}[m.GetError() != nil]; name != "" && name != want {
			return nil, fmt.Errorf("the event is called %q, want %q", name, want)
		}
		return m, nil
	}
	return &batch{recv, cancel, func() {
		cancel()
		<-answered
		if res != nil {
			_ = res.Body.Close()
		}
	}}
}

// answer is what became of one item.
type answer struct {
	status int32
	body   string
	fail   *failure
}

func (a answer) String() string {
	if a.fail != nil {
		return a.fail.Error()
	}
	return fmt.Sprintf("%d %q", a.status, a.body)
}

func ofItem(m *fetchsvcv1.FetchBatchResponse) answer {
	if m.GetError() != nil {
		return answer{fail: ofDetails(status.FromProto(m.GetError()))}
	}
	body := string(m.GetResponse().GetBody()) + m.GetResponse().GetText()
	return answer{status: m.GetResponse().GetStatus(), body: body}
}

// all receives a batch to its good end: every item once.
func (b *batch) all(t *testing.T, n int) []answer {
	t.Helper()
	out, seen := make([]answer, n), make([]bool, n)
	for {
		m, err := b.recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("the batch failed: %v", err)
		}
		i := int(m.GetIndex())
		if m.Index == nil || i < 0 || i >= n || seen[i] {
			t.Fatalf("an answer has the index %v, which is not one of %d or was answered before", m.Index, n)
		}
		seen[i] = true
		if out[i] = ofItem(m); out[i].fail != nil && len(out[i].fail.odd) > 0 {
			t.Errorf("item %d: %q", i, out[i].fail.odd)
		}
	}
	for i := range seen {
		if !seen[i] {
			t.Errorf("item %d was not answered", i)
		}
	}
	return out
}

// gets are n GETs of url.
func gets(url string, n int) (out []*fetchsvcv1.FetchRequest) {
	for range n {
		out = append(out, &fetchsvcv1.FetchRequest{Url: url})
	}
	return out
}
