package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// streams says that the call is a Stream.
func (o *fetchOptions) streams() bool {
	return o.streamed || o.uploadFile != "" || o.sse || o.lines
}

// stream makes the call by Stream: the answer is written as it arrives. On a
// stream the API's total clock ends at the head; --max-time means the whole
// transfer, as curl's does, so it is the deadline of the RPC.
func (o *fetchOptions) stream(ctx context.Context, req *fetchsvcv1.FetchRequest, up *upload, stdout, errs io.Writer) error {
	conn, err := o.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	to, err := o.sink(ctx, stdout)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	defer to.drop()
	limited := ctx
	if o.maxTime > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, o.maxTime)
		defer cancel()
	}
	limited, abort := context.WithCancelCause(limited)
	defer abort(nil)
	t := &transfer{fetchOptions: o, to: to, errs: errs}
	defer func() { t.bar.end() }()
	st, err := fetchsvcv1.NewFetchServiceClient(conn).Stream(limited)
	if err == nil {
		t.send(st, req, up, abort)
		err = t.receive(st)
	}
	if err == nil {
		return nil
	}
	t.bar.end()
	var local exit
	switch cause := context.Cause(limited); {
	case ctx.Err() != nil:
		err = interrupted()
	case errors.As(err, &local):
	case errors.As(cause, &local):
		err = cause
	default:
		told := t.teller()
		told.begun = t.answer != nil
		err = told.callError(err)
	}
	return t.account(err)
}

// transfer is one Stream under way.
type transfer struct {
	*fetchOptions
	to   sink
	errs io.Writer
	bar  *progress
	// answer is the head, once it has come.
	answer *fetchsvcv1.FetchResponse
	// came counts bytes, or what --sse and --lines part them into.
	came int64
	// lastID is the last event ID that was told.
	lastID string
}

// send lets the request go on its way. What reads an upload may be stuck in a
// read of stdin when the call is over: then it ends with the process.
func (t *transfer) send(st sender, req *fetchsvcv1.FetchRequest, up *upload, abort context.CancelCauseFunc) {
	start := &fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: req}}
	if st.Send(start) != nil { // the answer says why
		return
	}
	if up == nil {
		_ = st.CloseSend()
		return
	}
	t.bar = t.progress("sent", up.size)
	sent := t.bar
	go func() {
		if err := up.send(st, sent); err != nil {
			abort(err)
		}
	}()
}

// receive writes the answer out, message by message.
func (t *transfer) receive(st fetchsvcv1.FetchService_StreamClient) error {
	for {
		in, err := st.Recv()
		if err == io.EOF {
			return exit{errors.New("the stream from fetchsvc ended without its end"), exitOther}
		}
		if err != nil {
			return err
		}
		switch m := in.GetMessage().(type) {
		case *fetchsvcv1.StreamResponse_Head:
			err = t.begin(m.Head)
		case *fetchsvcv1.StreamResponse_Chunk:
			err = t.write(m.Chunk, len(m.Chunk))
		case *fetchsvcv1.StreamResponse_Line:
			err = t.write(lineText(m.Line), 1)
		case *fetchsvcv1.StreamResponse_Event:
			err = t.write(t.eventText(m.Event), 1)
		case *fetchsvcv1.StreamResponse_End:
			if _, err = st.Recv(); err == io.EOF {
				return t.finish(m.End)
			}
		}
		if err != nil {
			return err
		}
	}
}
