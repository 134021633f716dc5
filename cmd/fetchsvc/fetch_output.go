package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// sink takes an answer. Keep it when it is whole; drop after keep does nothing.
type sink interface {
	io.Writer
	keep() error
	drop()
}

// toFile says that --output names a file.
func (o *fetchOptions) toFile() bool { return o.output != "" && o.output != "-" }

// sink opens what the flags want the answer written to.
func (o *fetchOptions) sink(ctx context.Context, stdout io.Writer) (sink, error) {
	if o.toFile() {
		return createOutput(ctx, o.output)
	}
	return &stdoutSink{ctx, stdout, o.output == "" && isTerminal(stdout)}, nil
}

// stdoutSink writes at once.
type stdoutSink struct {
	ctx      context.Context
	to       io.Writer
	textOnly bool
}

var errBinary = errors.New("the answer is binary and would garble the terminal: write it to a file with --output FILE, or insist with --output -")

func (s *stdoutSink) Write(p []byte) (int, error) {
	if s.textOnly && bytes.IndexByte(p, 0) >= 0 {
		return 0, errBinary
	}
	return interruptible(s.ctx, func() (int, error) { return s.to.Write(p) })
}

func (s *stdoutSink) keep() error { return nil }
func (s *stdoutSink) drop()       {}

// writeError chooses the exit code of an answer that could not be written.
func writeError(err error) error {
	var chosen exit
	switch {
	case err == nil || errors.As(err, &chosen):
		return err
	case errors.Is(err, errBinary):
		return exit{err, exitOther}
	default:
		return exit{fmt.Errorf("writing the answer: %w", err), exitOther}
	}
}

// write puts the answer where the flags want it.
func (o *fetchOptions) write(ctx context.Context, res *fetchsvcv1.FetchResponse, stdout io.Writer) error {
	answer, err := o.answer(res)
	if err != nil {
		return exit{err, exitOther}
	}
	to, err := o.sink(ctx, stdout)
	if err != nil {
		return writeError(err)
	}
	defer to.drop()
	if _, err = to.Write(answer); err == nil {
		err = to.keep()
	}
	return writeError(err)
}

// answer is what goes out: the body as it is, behind the heads if they are
// wanted, or everything as JSON.
func (o *fetchOptions) answer(res *fetchsvcv1.FetchResponse) ([]byte, error) {
	if o.printJSON {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(res)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer // protojson's own indentation differs from build to build
		err = json.Indent(&out, text, "", "  ")
		out.WriteByte('\n')
		return out.Bytes(), err
	}
	if !o.include && !o.head {
		return res.GetBody(), nil
	}
	return append(headBytes(res), res.GetBody()...), nil
}

// headBytes are the heads as they stand before a body.
func headBytes(res *fetchsvcv1.FetchResponse) []byte {
	var out bytes.Buffer
	for _, h := range responseHeads(res) {
		h.write(&out)
	}
	return out.Bytes()
}

// isTerminal tells a terminal from files and pipes. The null device is a
// character device too.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
