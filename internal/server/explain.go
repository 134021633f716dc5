package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// Explainer answers ExplainRequests without a service, for whoever holds the
// policy file. Safe for concurrent use.
type Explainer struct {
	engine *fetch.Engine
	check  func(any) error
}

// NewExplainer makes one that asks engine.
func NewExplainer(engine *fetch.Engine) (*Explainer, error) {
	shared, err := newInterceptors(Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return &Explainer{engine: engine, check: shared.check}, nil
}

// Explain answers for any caller; by default for `anonymous`. Its error, a
// *fault.Error, says what is wrong with in itself.
func (x *Explainer) Explain(ctx context.Context, in *fetchsvcv1.ExplainRequest) (*fetchsvcv1.ExplainResponse, error) {
	if err := x.check(in); err != nil {
		return nil, fault.From(err)
	}
	of := &caller{name: in.GetCaller()}
	if of.name == "" {
		of.name = anonymous
	}
	return explain(ctx, x.engine, in, of)
}

// Explain says what Fetch would do with a request. Callers ask about themselves,
// operators about anyone.
func (s *policyService) Explain(ctx context.Context, in *fetchsvcv1.ExplainRequest) (*fetchsvcv1.ExplainResponse, error) {
	asks := callerOf(ctx)
	of := asks
	if name := in.GetCaller(); name != "" && name != asks.name {
		of = &caller{name: name}
	}
	if of != asks && !s.engine.Snapshot().Operator(asks.name) {
		return nil, fault.Newf(fault.NotGranted,
			"caller: %s may ask about itself only, not about %s; leave it out, or have %s added to the operators of the policy", quote(asks.name), quote(of.name), quote(asks.name))
	}
	return explain(ctx, s.engine, in, of)
}

// explain reads the request as Fetch does: what Fetch would refuse, is denied.
func explain(ctx context.Context, engine *fetch.Engine, in *fetchsvcv1.ExplainRequest, of *caller) (*fetchsvcv1.ExplainResponse, error) {
	req, err := buildRequest(in.GetRequest(), of)
	if err != nil {
		f := fault.From(err)
		return &fetchsvcv1.ExplainResponse{Caller: of.name, DeniedKind: string(f.Kind), Reason: f.Message}, nil
	}
	x := engine.Explain(ctx, req, in.GetResolve())
	if x.Fault != nil && ctx.Err() != nil && !errors.Is(x.Fault, fault.PolicyDenied) {
		return nil, ctx.Err() // who asks has gone: that is no answer
	}
	return explanationProto(x, of.name), nil
}

func explanationProto(x *fetch.Explanation, caller string) *fetchsvcv1.ExplainResponse {
	out := &fetchsvcv1.ExplainResponse{
		Allowed: x.Fault == nil, Reason: x.Reason, Upstream: x.Upstream, Route: x.Route, Caller: caller,
		Credential: x.Credential, Reported: x.Reported, OtherUpstreams: int32(x.Trace.More),
	}
	if x.Fault != nil {
		out.DeniedKind = string(x.Fault.Kind)
	}
	for _, r := range x.Trace.Rules {
		out.Rules = append(out.Rules, &fetchsvcv1.Rule{Rule: r.Rule, Matched: r.Matched, Reason: r.Reason})
	}
	for _, s := range x.Settings {
		out.Settings = append(out.Settings, &fetchsvcv1.Setting{Name: s.Name, Value: s.Value, Source: s.Source})
	}
	for i, s := range x.Schedule {
		out.Schedule = append(out.Schedule, &fetchsvcv1.ScheduledAttempt{
			Number: int32(i + 1), WaitMin: durationpb.New(s.WaitMin), WaitMax: durationpb.New(s.WaitMax),
			Starts: durationpb.New(s.Starts), Limit: durationpb.New(s.Limit), Fits: s.Fits,
		})
	}
	for _, v := range x.Addresses {
		out.Addresses = append(out.Addresses, &fetchsvcv1.AddressVerdict{Address: v.Addr.String(), Allowed: v.Allowed, Reason: v.Reason})
	}
	return out
}
