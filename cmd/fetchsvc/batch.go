package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

const batchHelp = `batch makes the calls of a file, many at once. Each line is a FetchRequest as JSON, as
POST /v1/fetch takes it; bodies that are text come back as text. The whole file is read and checked
before the first call is made. Each answer is written as one line as soon as it is there: its index
(from 0, blank lines do not count) and a response, or the error. A summary goes to stderr.

More than 1,000 calls, or 16 MiB of them, are sent as several batches, one after another.

Exit codes:
  0    every call was answered, whatever the status
  1    something else went wrong, such as an answer that could not be written
  2    the command line is wrong
  3    the file holds something that is no request
  4    fetchsvc does not know who makes the calls
  5    fetchsvc itself cannot be reached, or is stopping
  6    a call failed
  28   fetchsvc did not end the batch within --total
  130  interrupted`

// batchSlack is how much longer than --total this end waits, so that the
// service's own account of every call arrives.
const batchSlack = 10 * time.Second

// batchOptions are the flags of batch.
type batchOptions struct {
	clientOptions
	concurrency *int32
	stopOnError bool
	ordered     bool
	total       time.Duration
}

func newBatch() *cobra.Command {
	o := &batchOptions{}
	cmd := &cobra.Command{
		Use:   "batch [flags] FILE",
		Short: "Make many calls at once, one a line of FILE or - (stdin)",
		Long:  batchHelp,
		Example: `  fetchsvc batch calls.ndjson > answers.ndjson
  printf '{"url":"https://example.com/%d"}\n' 1 2 3 | fetchsvc batch --ordered -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("batch takes one FILE, or - for stdin, not %d; `%s --help` has examples", len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Func("concurrency", "have at most `N` calls in flight, 1 to 100 (default 16)", func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 1 || n > 100 {
			return errors.New("write a number from 1 to 100")
		}
		o.concurrency = proto.Int32(int32(n))
		return nil
	})
	f.BoolVar(&o.stopOnError, "stop-on-error", false, "start no more calls after one that failed; the rest of its batch is answered CANCELLED")
	f.Func("total", "answer what is not done after this `TIME` TOTAL_TIMEOUT: seconds, or 500ms, 2m (default 5m a batch)", clock(&o.total))
	f.BoolVar(&o.ordered, "ordered", false, "write the answers in the order of the file")
	o.flags(f)
	return cmd
}

func (o *batchOptions) run(ctx context.Context, name string, in io.Reader, out, errs io.Writer) error {
	requests, err := readBatch(ctx, name, in)
	if err != nil {
		return err
	}
	conn, err := o.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	b := &batchRun{
		batchOptions: o, api: fetchsvcv1.NewFetchServiceClient(conn), start: time.Now(),
		answers: newAnswers(&stdoutSink{ctx: ctx, to: out}, o.ordered),
	}
	if o.total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, b.start.Add(o.total+batchSlack))
		defer cancel()
	}
	err = b.run(ctx, requests)
	summary := b.answers.summary(len(requests))
	if err == nil && b.answers.failed > 0 {
		return exit{errors.New(summary), exitUpstream}
	}
	if b.answers.count > 0 {
		fmt.Fprintln(errs, summary)
	}
	return err
}

// batchRun is a file of calls under way.
type batchRun struct {
	*batchOptions
	api     fetchsvcv1.FetchServiceClient
	start   time.Time
	answers *answers
}

// run sends one batch after another.
func (b *batchRun) run(ctx context.Context, requests []*fetchsvcv1.FetchRequest) error {
	for first := 0; first < len(requests); {
		if b.stopOnError && b.answers.failed > 0 {
			return nil
		}
		part := requests[first : first+batchLength(requests[first:])]
		if err := b.send(ctx, part, first); err != nil {
			return err
		}
		first += len(part)
	}
	return nil
}

// send makes the calls of one batch, whose first has that index in the file.
func (b *batchRun) send(ctx context.Context, part []*fetchsvcv1.FetchRequest, first int) error {
	in := &fetchsvcv1.FetchBatchRequest{Requests: part, MaxConcurrency: b.concurrency, StopOnError: b.stopOnError}
	if b.total > 0 { // for all batches: those that come too late are answered so
		in.Total = durationpb.New(max(b.total-time.Since(b.start), time.Millisecond))
	}
	st, err := b.api.FetchBatch(ctx, in)
	for err == nil {
		var answer *fetchsvcv1.FetchBatchResponse
		if answer, err = st.Recv(); err == nil {
			err = b.answers.add(first, answer)
		}
	}
	var local exit
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return interrupted()
	case errors.As(err, &local):
		return err
	}
	return teller{
		server: b.server, begun: b.answers.count > 0,
		late: fmt.Sprintf("fetchsvc at %s did not end the batch within --total %s", b.server, b.total),
	}.callError(err)
}
