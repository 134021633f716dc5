package oteltest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// fetch makes a call and gives how it ended: in words of the gRPC status or the body
// of the answer.
func (w *world) fetch(in string) string {
	w.Helper()
	return w.fetchIn(w.Context(), in)
}

func (w *world) fetchIn(ctx context.Context, in string) string {
	w.Helper()
	if w.door == "rest" {
		return w.post(ctx, "/v1/fetch", w.fill(in))
	}
	res, err := fetchsvcv1.NewFetchServiceClient(w.api).Fetch(w.outgoing(ctx), decoded(w, in, &fetchsvcv1.FetchRequest{}))
	return said(res, err)
}

// stream makes a call of Stream and reads it to its end.
func (w *world) stream(in string) string {
	w.Helper()
	in = `{"start":` + in + `}`
	if w.door == "rest" {
		return w.post(w.Context(), "/v1/stream", w.fill(in))
	}
	s, err := fetchsvcv1.NewFetchServiceClient(w.api).Stream(w.outgoing(w.Context()))
	if err != nil {
		w.Fatal(err)
	}
	if err := s.Send(decoded(w, in, &fetchsvcv1.StreamRequest{})); err != nil && err != io.EOF {
		w.Fatal(err)
	}
	_ = s.CloseSend()
	var all strings.Builder
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return all.String()
		}
		all.WriteString(said(m, err))
		if err != nil {
			return all.String()
		}
	}
}

// batch makes a call of FetchBatch.
func (w *world) batch(in string) string {
	w.Helper()
	if w.door == "rest" {
		return w.post(w.Context(), "/v1/fetch:batch", w.fill(in))
	}
	s, err := fetchsvcv1.NewFetchServiceClient(w.api).FetchBatch(w.outgoing(w.Context()), decoded(w, in, &fetchsvcv1.FetchBatchRequest{}))
	if err != nil {
		w.Fatal(err)
	}
	var all strings.Builder
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return all.String()
		}
		all.WriteString(said(m, err))
		if err != nil {
			return all.String()
		}
	}
}

// outgoing is a context with w's headers as metadata.
func (w *world) outgoing(ctx context.Context) context.Context {
	for name, values := range w.header {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, name, v)
		}
	}
	return ctx
}

func (w *world) post(ctx context.Context, path, body string) string {
	w.Helper()
	return w.ask(ctx, http.MethodPost, path, body)
}

// ask asks the REST door and gives the answer's body.
func (w *world) ask(ctx context.Context, method, path, body string) string {
	w.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.service.REST+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header = w.header.Clone()
	res, err := w.web.Do(r)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, _ = io.Copy(&b, res.Body) // a stream that fails breaks off
	return b.String()
}

func decoded[M proto.Message](w *world, in string, into M) M {
	w.Helper()
	if err := protojson.Unmarshal([]byte(w.fill(in)), into); err != nil {
		w.Fatalf("%s: %v", in, err)
	}
	return into
}

func said(m proto.Message, err error) string {
	if err != nil {
		for _, d := range status.Convert(err).Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok {
				return err.Error() + ": " + info.GetReason()
			}
		}
		return err.Error()
	}
	return fmt.Sprint(m)
}
