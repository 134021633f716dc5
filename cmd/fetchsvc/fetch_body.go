package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// dataKind is which of curl's --data flags was used.
type dataKind uint8

const (
	dataText    dataKind = iota // @ reads a file and drops its line ends
	dataBinary                  // @ reads a file
	dataLiteral                 // @ is an at sign
)

type datum struct {
	value string
	kind  dataKind
}

// addBody makes the body of the flags, or with --get the query.
func (o *fetchOptions) addBody(req *fetchsvcv1.FetchRequest, in *inputs) error {
	if len(o.data) > 0 {
		if err := o.addData(req, in); err != nil {
			return err
		}
	}
	switch {
	case o.uploadFile != "":
		return o.addUpload(req, in)
	case len(o.json) > 0:
		text, err := o.joinJSON(in)
		if err != nil {
			return err
		}
		req.Body = &fetchsvcv1.FetchRequest_JsonText{JsonText: text}
		o.accept(req, "application/json") // as curl --json does
	case len(o.form) > 0:
		parts, err := parseForm(o.form, in)
		if err != nil {
			return err
		}
		req.Body = &fetchsvcv1.FetchRequest_Multipart{Multipart: &fetchsvcv1.Multipart{Parts: parts}}
	}
	return nil
}

func (o *fetchOptions) addData(req *fetchsvcv1.FetchRequest, in *inputs) error {
	data, err := o.joinData(in)
	if err != nil {
		return err
	}
	if o.get {
		req.Url = withQuery(req.GetUrl(), string(data))
		return nil
	}
	req.Body = &fetchsvcv1.FetchRequest_Raw{Raw: data}
	if !o.hasHeader("Content-Type") {
		req.Headers = append(req.Headers, field("Content-Type", "application/x-www-form-urlencoded"))
	}
	return nil
}

// accept asks for a media type unless --header asks for one.
func (o *fetchOptions) accept(req *fetchsvcv1.FetchRequest, mediaType string) {
	if !o.hasHeader("Accept") {
		req.Headers = append(req.Headers, field("Accept", mediaType))
	}
}

// joinData is what curl makes of several --data.
func (o *fetchOptions) joinData(in *inputs) ([]byte, error) {
	var all []byte
	for i, d := range o.data {
		if i > 0 {
			all = append(all, '&')
		}
		name, isFile := strings.CutPrefix(d.value, "@")
		if !isFile || d.kind == dataLiteral {
			all = append(all, d.value...)
			continue
		}
		content, err := in.read(name)
		if err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
		if d.kind == dataText {
			content = slices.DeleteFunc(content, func(b byte) bool { return b == '\r' || b == '\n' || b == 0 })
		}
		all = append(all, content...)
	}
	return all, checkSize(len(all))
}

func (o *fetchOptions) joinJSON(in *inputs) (string, error) {
	var all strings.Builder
	for _, value := range o.json {
		name, isFile := strings.CutPrefix(value, "@")
		if !isFile {
			all.WriteString(value)
			continue
		}
		content, err := in.read(name)
		if err != nil {
			return "", fmt.Errorf("--json: %w", err)
		}
		all.Write(content)
	}
	return all.String(), checkSize(all.Len())
}

// withQuery appends query to a URL as written, before its fragment.
func withQuery(url, query string) string {
	url, fragment, hasFragment := strings.Cut(url, "#")
	switch {
	case !strings.Contains(url, "?"):
		url += "?"
	case !strings.HasSuffix(url, "?") && !strings.HasSuffix(url, "&"):
		url += "&"
	}
	url += query
	if hasFragment {
		url += "#" + fragment
	}
	return url
}

// maxSent is the largest body that Fetch takes.
const maxSent = 16 << 20

func checkSize(n int) error {
	if n > maxSent {
		return exit{fmt.Errorf("the request body is over 16 MiB, the most that one message takes: --upload-file sends a body of any size"), exitInvalid}
	}
	return nil
}

// inputs reads the files that flags name; `-` is stdin, which can be read once.
type inputs struct {
	ctx   context.Context
	stdin io.Reader
	spent bool
	// upload is the body that follows the request, if there is one.
	upload *upload
}

// read gives a file's content, up to a byte more than may be sent.
func (in *inputs) read(name string) ([]byte, error) {
	if name == "-" {
		if err := in.spend(); err != nil {
			return nil, err
		}
		return interruptible(in.ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(in.stdin, maxSent+1)) })
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSent+1))
}

func (in *inputs) spend() error {
	if in.spent {
		return errors.New("stdin was read already: only one flag can")
	}
	in.spent = true
	return nil
}
