package server

import (
	"context"
	"errors"
	"io"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// inOrder is a Recv that gives messages and then waits for ctx.
func inOrder(ctx context.Context, all ...*fetchsvcv1.StreamRequest) func() (*fetchsvcv1.StreamRequest, error) {
	return func() (*fetchsvcv1.StreamRequest, error) {
		if len(all) == 0 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		next := all[0]
		all = all[1:]
		return next, nil
	}
}

func chunkOf(s string) *fetchsvcv1.StreamRequest {
	return &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Chunk{Chunk: []byte(s)}}
}

// TestUploadGoesToOneReader: a transport that was answered early may still be
// about to read. Once the upload was promised to the next hop it gets nothing of
// it, or the next would send a body with a hole.
func TestUploadGoesToOneReader(t *testing.T) {
	recv := inOrder(t.Context(), chunkOf("hello"), &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_End{}})
	u := newUpload(t.Context(), &fetchsvcv1.StreamBody{}, nil, recv)
	first := u.Open()
	if !u.Replayable() {
		t.Fatal("the upload is not replayable before anything was read")
	}
	second := u.Open()
	if n, err := first.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("the first reader got %d bytes, %v; want none and an error", n, err)
	}
	if got, err := io.ReadAll(second); string(got) != "hello" || err != nil {
		t.Errorf("the second reader got %q, %v; want hello", got, err)
	}
	if u.Replayable() {
		t.Error("the upload is replayable although it was read")
	}
}

// TestUploadCloseEndsRead: net/http waits for the body of a request that failed,
// so a silent caller must not hold it.
func TestUploadCloseEndsRead(t *testing.T) {
	u := newUpload(t.Context(), &fetchsvcv1.StreamBody{}, nil, inOrder(t.Context()))
	r := u.Open()
	read := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 10))
		read <- err
	}()
	_ = r.Close()
	if err := <-read; !errors.Is(err, errClosed) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
}

// TestUploadEndsWithTheRPC: what ended the RPC is what the read says.
func TestUploadEndsWithTheRPC(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	u := newUpload(ctx, &fetchsvcv1.StreamBody{}, nil, inOrder(ctx))
	why := errors.New("why")
	cancel(asFailure(why))
	if _, err := u.Open().Read(make([]byte, 10)); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}
