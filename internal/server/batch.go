package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// defaultBatchTotal bounds a batch whose caller sets no deadline.
const defaultBatchTotal = 5 * time.Minute

// FetchBatch makes many calls and answers each as it completes.
func (s *fetchService) FetchBatch(in *fetchsvcv1.FetchBatchRequest, st fetchsvcv1.FetchService_FetchBatchServer) error {
	ctx, cancel := context.WithTimeoutCause(st.Context(), batchTime(st.Context(), in), errBatchDeadline)
	defer cancel()
	snapshot := s.engine.Snapshot()
	concurrency := snapshot.Batch.Concurrency
	if in.MaxConcurrency != nil {
		concurrency = int(in.GetMaxConcurrency())
	}
	if concurrency > snapshot.Batch.Max {
		return fault.Invalidf("max_concurrency", "%d is over the bound of %d that policy sets for batches: ask for that many or fewer, or leave it out",
			concurrency, snapshot.Batch.Max)
	}
	b := &batch{service: s, in: in, stream: st, queue: newFairQueue(in.GetRequests(), snapshot), seats: newBatchSeats(callerOf(st.Context()))}
	var workers sync.WaitGroup
	for range min(concurrency, len(in.GetRequests())) {
		workers.Go(func() { b.work(ctx, concurrency) })
	}
	workers.Wait()
	return b.failed
}

var errBatchDeadline = fault.New(fault.TotalTimeout, "the batch's time was up")

// batchTime leaves room before the caller's deadline for the last answers.
func batchTime(ctx context.Context, in *fetchsvcv1.FetchBatchRequest) time.Duration {
	total := defaultBatchTotal
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		total = left - min(left/10, time.Second)
	}
	if in.GetTotal() != nil {
		total = min(total, in.GetTotal().AsDuration())
	}
	return total
}

// batch is one FetchBatch on its way. Its memory is bounded by its workers: each
// holds one answer at most, until the caller has taken it.
type batch struct {
	service *fetchService
	in      *fetchsvcv1.FetchBatchRequest
	stream  fetchsvcv1.FetchService_FetchBatchServer
	queue   *fairQueue
	seats   *batchSeats

	mu      sync.Mutex // one sender at a time
	stopped bool       // by stop_on_error
	failed  error      // the caller takes no more answers
}

// work makes calls until none is left. Every item is answered: what could not be
// started in time says so.
func (b *batch) work(ctx context.Context, concurrency int) {
	for {
		i, ok := b.queue.take(concurrency)
		if !ok {
			return
		}
		answer := b.answer(ctx, i)
		b.queue.done(i)
		if !b.send(i, answer) {
			return
		}
	}
}

func (b *batch) answer(ctx context.Context, i int) *fetchsvcv1.FetchBatchResponse {
	out := &fetchsvcv1.FetchBatchResponse{Index: proto.Int32(int32(i))}
	start := time.Now()
	ctx = telemetry.WithTrace(ctx, telemetry.TraceFrom(ctx).Child())
	res, err := b.call(ctx, i)
	if err == nil {
		out.Result = &fetchsvcv1.FetchBatchResponse_Response{Response: res}
		return out
	}
	b.service.refused.tell(ctx, fetchsvcv1.FetchService_FetchBatch_FullMethodName, err)
	f := asFailure(err).in(ctx)
	if f.tried == nil {
		b.service.signals.Refused(ctx, callerOf(ctx).name, i, start, f.fault)
	}
	st, _ := status.FromError(f)
	out.Result = &fetchsvcv1.FetchBatchResponse_Error{Error: st.Proto()}
	return out
}

func (b *batch) call(ctx context.Context, i int) (res *fetchsvcv1.FetchResponse, err error) {
	defer func() { // the interceptor's recover does not reach this goroutine
		if p := recover(); p != nil {
			err = b.service.panicked(ctx, fetchsvcv1.FetchService_FetchBatch_FullMethodName, p)
		}
	}()
	leave, err := b.seats.begin(ctx, func(waited string) error { return b.mayBegin(ctx, waited) })
	if err != nil {
		return nil, err
	}
	defer leave()
	item := b.in.GetRequests()[i]
	if err := b.service.check(item); err != nil {
		return nil, err
	}
	return b.service.fetch(ctx, item, i)
}

// mayBegin says why an item is not begun any more; waited is what it waited for, as
// the message says it.
func (b *batch) mayBegin(ctx context.Context, waited string) error {
	b.mu.Lock()
	stopped := b.stopped
	b.mu.Unlock()
	switch {
	case stopped:
		return notStarted(fault.Cancelled, "an earlier item failed and the batch has stop_on_error: this one was not started")
	case ctx.Err() != nil:
		return notStarted(fault.TotalTimeout, "the batch's time was up before this item was started"+waited)
	}
	return nil
}

func notStarted(kind fault.Kind, message string) error {
	f := fault.New(kind, message)
	f.SafeToRetry = true
	return f
}

// send hands one answer on; false: the caller takes no more.
func (b *batch) send(i int, answer *fetchsvcv1.FetchBatchResponse) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		return false
	}
	if answer.GetError() != nil && b.in.GetStopOnError() {
		b.stopped = true
	}
	if err := b.stream.Send(answer); err != nil {
		b.failed = fault.Wrap(fault.Cancelled, err, "the caller went away")
		b.queue.close()
		return false
	}
	return true
}
