package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// slack is how much longer than --max-time this end waits, so that the service's
// own account of the timeout arrives.
const slack = 2 * time.Second

// fetchOptions are the flags of fetch.
type fetchOptions struct {
	clientOptions

	// What to send.
	method    string
	headers   []string
	params    []string
	cookies   []string
	userAgent *string
	data      []datum
	json      []string
	form      []formArg
	get, head bool
	key       string

	// What to send as it is read.
	uploadFile     string
	trailers       []string
	expectContinue bool

	// How to fetch it.
	maxRedirs               *int32
	maxTime, connectTimeout time.Duration
	maxBytes                int64
	fail, rawCoding         bool
	noLocation              bool

	// What to do with the answer.
	output           string
	verbose, include bool
	printJSON        bool
	streamed         bool // by --stream: see streams
	sse, lines       bool
	noProgress       bool
}

func newFetch() *cobra.Command {
	o := &fetchOptions{}
	cmd := &cobra.Command{
		Use:   "fetch [flags] URL",
		Short: "Make one call through the service, as curl would",
		Long: "fetch asks a running fetchsvc to make one HTTP call and writes the body that came back to\n" +
			"stdout, byte for byte. The flags are curl's where curl has them; redirects are followed and\n" +
			"content codings undone unless told otherwise.\n\n" +
			"An answer is held in memory, up to the size that policy allows, and written when it is whole.\n" +
			"With --stream, and what implies it, a body of any size is handed on as it arrives.\n\n" + exitHelp,
		Example: `  fetchsvc fetch https://example.com/
  fetchsvc fetch -v -q q='python requests' https://httpbin.org/get
  fetchsvc fetch --json '{"n":1}' -H 'X-Trace: on' https://httpbin.org/post
  fetchsvc fetch -F photo=@cat.png -F title=Cat -o answer.json https://httpbin.org/post
  fetchsvc fetch --stream -o large.iso https://example.com/large.iso
  tar cz folder | fetchsvc fetch -T - https://httpbin.org/put
  fetchsvc fetch --sse https://httpbin.org/sse`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("fetch takes one URL, not %d; `%s --help` has examples", len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

// run makes the call and writes the answer. Everything that can be wrong on
// this side is found before anything is sent: a POST is not made for an answer
// that cannot be kept.
func (o *fetchOptions) run(ctx context.Context, url string, in io.Reader, out, errs io.Writer) error {
	files := &inputs{ctx: ctx, stdin: in}
	req, err := o.request(url, files)
	if err != nil {
		return err
	}
	if o.streams() {
		return o.stream(ctx, req, files.upload, out, errs)
	}
	if o.toFile() {
		if err := probe(o.output); err != nil {
			return err
		}
	}
	res, err := o.call(ctx, req)
	if err != nil {
		return err
	}
	if o.verbose {
		writeVerbose(errs, res, responseHeads(res))
	}
	return o.write(ctx, res, out)
}

// call is one Fetch on a connection of its own.
func (o *fetchOptions) call(ctx context.Context, req *fetchsvcv1.FetchRequest) (*fetchsvcv1.FetchResponse, error) {
	conn, err := o.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	limited := ctx
	if o.maxTime > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, o.maxTime+slack)
		defer cancel()
	}
	res, err := fetchsvcv1.NewFetchServiceClient(conn).Fetch(limited, req)
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return nil, interrupted()
	default:
		return nil, o.teller().callError(err)
	}
}

// teller tells why a call of these flags failed.
func (o *fetchOptions) teller() teller {
	t := teller{server: o.server, verbose: o.verbose}
	if o.streams() {
		t.late = fmt.Sprintf("--max-time %s was over before the transfer was", o.maxTime)
		return t
	}
	t.late = fmt.Sprintf("fetchsvc at %s did not answer within --max-time %s", o.server, o.maxTime)
	t.tooLarge = "--stream takes a body of any size"
	if o.maxBytes > 0 {
		t.tooLarge = "raise --max-response-bytes, or replace it by --stream, which takes a body of any size"
	}
	return t
}
