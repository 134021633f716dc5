package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

const (
	// maxAnswer holds a response of 64 MiB, the ceiling, with its envelope.
	maxAnswer = 64<<20 + 8<<20
	// slack is how much longer than --max-time this end waits, so that the
	// service's own account of the timeout arrives.
	slack = 2 * time.Second
)

// fetchOptions are the flags of fetch.
type fetchOptions struct {
	server string

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
}

func newFetch() *cobra.Command {
	o := &fetchOptions{}
	cmd := &cobra.Command{
		Use:   "fetch [flags] URL",
		Short: "Make one call through the service, as curl would",
		Long: "fetch asks a running fetchsvc to make one HTTP call and writes the body that came back to\n" +
			"stdout, byte for byte. The flags are curl's where curl has them; redirects are followed and\n" +
			"content codings undone unless told otherwise.\n\n" + exitHelp,
		Example: `  fetchsvc fetch https://example.com/
  fetchsvc fetch -v -q q='python requests' https://httpbin.org/get
  fetchsvc fetch --json '{"n":1}' -H 'X-Trace: on' https://httpbin.org/post
  fetchsvc fetch -F photo=@cat.png -F title=Cat -o answer.json https://httpbin.org/post`,
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
	req, err := o.request(url, &inputs{ctx: ctx, stdin: in})
	if err != nil {
		return err
	}
	if err := probe(o.output); err != nil {
		return err
	}
	res, err := o.call(ctx, req)
	if err != nil {
		return err
	}
	if o.verbose {
		writeVerbose(errs, res)
	}
	return o.write(res, out)
}

// call is one RPC on a connection of its own.
func (o *fetchOptions) call(ctx context.Context, req *fetchsvcv1.FetchRequest) (*fetchsvcv1.FetchResponse, error) {
	if _, _, err := net.SplitHostPort(o.server); err != nil {
		return nil, fmt.Errorf("--server %q: write HOST:PORT of the gRPC door, such as 127.0.0.1:9090", o.server)
	}
	conn, err := grpc.NewClient(o.server,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(), // fetchsvc is where proxies are chosen, not behind one
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("fetchsvc/"+version),
	)
	if err != nil {
		return nil, fmt.Errorf("--server %q: %w", o.server, err)
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
		return nil, callError(err, o.server, req, o.verbose)
	}
}

func interrupted() error { return exit{errors.New("interrupted"), exitInterrupted} }

// defaultServer is where the service is looked for.
func defaultServer() string {
	if s := os.Getenv("FETCHSVC_SERVER"); s != "" {
		return s
	}
	return "127.0.0.1:9090"
}
