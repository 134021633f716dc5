package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// uploadChunk keeps a marshalled message within 32 KiB, a tier of grpc-go's
// buffer pools.
const uploadChunk = 32<<10 - 64

// upload is a body that is sent while it is read.
type upload struct {
	name     string // for people
	from     io.Reader
	size     int64 // as announced; -1: not
	trailers []*fetchsvcv1.Field
}

// addUpload announces the body of --upload-file.
func (o *fetchOptions) addUpload(req *fetchsvcv1.FetchRequest, in *inputs) error {
	up, err := in.open(o.uploadFile)
	if err != nil {
		return fmt.Errorf("--upload-file: %w", err)
	}
	if o.uploadFile != "-" {
		req.Url = withName(req.GetUrl(), filepath.Base(o.uploadFile))
	}
	if err := o.addTrailers(req, up); err != nil {
		return err
	}
	body := &fetchsvcv1.StreamBody{}
	if up.size >= 0 && len(up.trailers) == 0 { // trailers need a body without a length
		body.ContentLength = &up.size
	}
	req.Body = &fetchsvcv1.FetchRequest_Stream{Stream: body}
	in.upload = up
	return nil
}

// addTrailers announces trailers, as HTTP/2 upstreams need it.
func (o *fetchOptions) addTrailers(req *fetchsvcv1.FetchRequest, up *upload) error {
	var names []string
	for _, line := range o.trailers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !utf8.ValidString(name) {
			return fmt.Errorf("--trailer %q: write \"NAME: VALUE\"", line)
		}
		names = append(names, name)
		up.trailers = append(up.trailers, field(name, strings.Trim(value, " \t")))
	}
	if len(names) > 0 {
		req.Headers = append(req.Headers, field("Trailer", strings.Join(names, ", ")))
	}
	return nil
}

// withName does as curl does: a URL that names a folder gets the file's name.
func withName(to, name string) string {
	_, rest, ok := strings.Cut(to, "://")
	if !ok || strings.ContainsAny(rest, "?#") {
		return to
	}
	switch strings.LastIndexByte(rest, '/') {
	case -1:
		to += "/"
	case len(rest) - 1:
	default:
		return to
	}
	return to + url.PathEscape(name)
}

// open begins to read a file, whose size is known if it is a regular one, or
// stdin.
func (in *inputs) open(name string) (*upload, error) {
	if name == "-" {
		return &upload{name: "stdin", from: in.stdin, size: -1}, in.spend()
	}
	f, err := interruptible(in.ctx, func() (*os.File, error) { return os.Open(name) }) // a pipe waits for its writer
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	up := &upload{name: name, from: f, size: -1}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name a file", name)
	case !info.Mode().IsRegular():
	case info.Size() == 0: // or a file of /proc, which has content all the same
		first := make([]byte, 1)
		n, err := io.ReadFull(f, first)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if n == 0 {
			up.size = 0
		}
		up.from = io.MultiReader(bytes.NewReader(first[:n]), f)
	default:
		up.size = info.Size()
		up.from = io.LimitReader(f, up.size) // what is appended meanwhile was not announced
	}
	return up, nil
}

// sender is the request side of a Stream.
type sender interface {
	Send(*fetchsvcv1.StreamRequest) error
	CloseSend() error
}

// send reads to the end and only then says that the upload is complete. Its error
// is one of reading: where the stream itself is over, that has its own to tell.
func (u *upload) send(st sender, sent *progress) error {
	buf := make([]byte, uploadChunk)
	for total := int64(0); ; {
		n, err := u.from.Read(buf)
		if n > 0 {
			// Send has written the bytes out when it returns.
			if st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Chunk{Chunk: buf[:n]}}) != nil {
				return nil
			}
			total += int64(n)
			sent.add(n)
		}
		switch {
		case err == nil:
			continue
		case err == io.EOF && total < u.size:
			err = fmt.Errorf("it shrank from %d to %d bytes", u.size, total)
		case err == io.EOF:
			_ = st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_End{End: &fetchsvcv1.StreamRequestEnd{Trailers: u.trailers}}})
			_ = st.CloseSend()
			return nil
		}
		var at *os.PathError // whose path is in u.name
		if errors.As(err, &at) {
			err = at.Err
		}
		return exit{fmt.Errorf("reading %s: %w; the upload was aborted after %d bytes", u.name, err, total), exitOther}
	}
}
