package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

const (
	// maxBatch is how many calls FetchBatch takes.
	maxBatch = 1000
	// maxBatchSize is what one message may weigh: a body of 16 MiB with its
	// envelope.
	maxBatchSize = maxSent + 512<<10
	// maxLine holds such a body in base64.
	maxLine = 24 << 20
)

// batchLength is how many of the requests go into one batch.
func batchLength(requests []*fetchsvcv1.FetchRequest) int {
	total := 0
	for i, r := range requests[:min(len(requests), maxBatch)] {
		const envelope = 8
		if total += proto.Size(r) + envelope; total > maxBatchSize && i > 0 {
			return i
		}
	}
	return min(len(requests), maxBatch)
}

// readBatch reads the requests of a file, or of stdin.
func readBatch(ctx context.Context, name string, stdin io.Reader) ([]*fetchsvcv1.FetchRequest, error) {
	return interruptible(ctx, func() ([]*fetchsvcv1.FetchRequest, error) {
		if name == "-" {
			return parseBatch("stdin", stdin)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return parseBatch(name, f)
	})
}

func parseBatch(name string, from io.Reader) ([]*fetchsvcv1.FetchRequest, error) {
	var requests []*fetchsvcv1.FetchRequest
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	number := 1
	for ; lines.Scan(); number++ {
		text := lines.Bytes()
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		request := &fetchsvcv1.FetchRequest{}
		if err := protojson.Unmarshal(text, request); err != nil {
			return nil, lineError(name, number, err)
		}
		if proto.Size(request) > maxBatchSize {
			return nil, exit{fmt.Errorf("%s:%d: the request is over 16 MiB, the most that one message takes", name, number), exitInvalid}
		}
		if request.GetAs() == fetchsvcv1.FetchRequest_AS_UNSPECIFIED {
			request.As = fetchsvcv1.FetchRequest_AUTO // text where it is text, as REST does for JSON
		}
		requests = append(requests, request)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, exit{fmt.Errorf("%s:%d: the line is over 24 MiB, and a request takes 16 MiB", name, number), exitInvalid}
	case err != nil:
		return nil, err
	case len(requests) == 0:
		return nil, exit{fmt.Errorf("%s holds no request: write one on each line, such as {\"url\":\"https://example.com/\"}", name), exitInvalid}
	}
	return requests, nil
}

// protojsonError is how protojson reports a fault; the space differs from build
// to build.
var protojsonError = regexp.MustCompile(`^proto:[\s\x{a0}]+(?:syntax error )?\(line 1:(\d+)\): (.*)$`)

func lineError(name string, number int, err error) error {
	if m := protojsonError.FindStringSubmatch(err.Error()); m != nil {
		return exit{fmt.Errorf("%s:%d:%s: %s", name, number, m[1], visible(m[2])), exitInvalid}
	}
	return exit{fmt.Errorf("%s:%d: %s", name, number, visible(err.Error())), exitInvalid}
}
