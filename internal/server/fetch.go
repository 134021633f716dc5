package server

import (
	"context"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/signals"
)

// anonymous is who has not proved who it is.
const anonymous = policy.Anonymous

// fetchService serves FetchService by the engine.
type fetchService struct {
	fetchsvcv1.UnimplementedFetchServiceServer
	engine *fetch.Engine
	// signals is told of items that never came to the engine.
	signals *signals.Signals
	// check holds a message's constraints; a batch's items are checked one by one.
	check func(any) error
	// refused is told of items that never came to the engine.
	refused refusals
	// panicked answers for a panic of one item.
	panicked func(ctx context.Context, method string, p any) error
}

// Fetch makes one call.
func (s *fetchService) Fetch(ctx context.Context, in *fetchsvcv1.FetchRequest) (*fetchsvcv1.FetchResponse, error) {
	return s.fetch(ctx, in, 0)
}

// fetch makes one call, alone or as an item of a batch.
func (s *fetchService) fetch(ctx context.Context, in *fetchsvcv1.FetchRequest, item int) (*fetchsvcv1.FetchResponse, error) {
	req, err := buildRequest(in, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	req.Item = item
	res, err := s.engine.Do(ctx, req)
	if err != nil {
		return nil, &failure{fault: fault.From(err), tried: res}
	}
	return responseProto(res, in, asFor(ctx, in)), nil
}

// asFor is how to hand the body back where the caller does not say: as bytes
// over gRPC, where bytes cost nothing, and readable over REST.
func asFor(ctx context.Context, in *fetchsvcv1.FetchRequest) fetchsvcv1.FetchRequest_As {
	if as := in.GetAs(); as != fetchsvcv1.FetchRequest_AS_UNSPECIFIED {
		return as
	}
	if doorOf(ctx) == restDoor {
		return fetchsvcv1.FetchRequest_AUTO
	}
	return fetchsvcv1.FetchRequest_BYTES
}
