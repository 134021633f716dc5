package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

// policyService serves PolicyService from the snapshot in force.
type policyService struct {
	fetchsvcv1.UnimplementedPolicyServiceServer
	engine   *fetch.Engine
	reported func(upstream string) int64
	rejected func() (time.Time, string)
}

func newPolicyService(cfg Config) *policyService {
	s := &policyService{engine: cfg.Engine, reported: cfg.Reported, rejected: cfg.Rejected}
	if s.reported == nil {
		s.reported = func(string) int64 { return 0 }
	}
	if s.rejected == nil {
		s.rejected = func() (time.Time, string) { return time.Time{}, "" }
	}
	return s
}

// ListUpstreams lists the upstreams in the file's order.
func (s *policyService) ListUpstreams(context.Context, *fetchsvcv1.ListUpstreamsRequest) (*fetchsvcv1.ListUpstreamsResponse, error) {
	out := &fetchsvcv1.ListUpstreamsResponse{}
	for _, up := range s.engine.Snapshot().Upstreams {
		out.Upstreams = append(out.Upstreams, &fetchsvcv1.Upstream{
			Name: up.Name, Hosts: up.Hosts, Schemes: up.Schemes, Mode: up.Mode(), Reported: s.reported(up.Name),
		})
	}
	return out, nil
}

// maxRejected bounds what GetSnapshot says of a refused policy.
const maxRejected = 16 << 10

// GetSnapshot identifies the policy in force, and the one that was refused since.
func (s *policyService) GetSnapshot(context.Context, *fetchsvcv1.GetSnapshotRequest) (*fetchsvcv1.GetSnapshotResponse, error) {
	snap := s.engine.Snapshot()
	out := &fetchsvcv1.GetSnapshotResponse{
		Generation: snap.Generation, Source: snap.Source, Sha256: snap.SHA256, LoadedAt: timestamppb.New(snap.LoadedAt),
		Warnings: snap.Warnings,
	}
	if at, why := s.rejected(); why != "" {
		const mark = len("…")
		out.Rejected = &fetchsvcv1.RejectedPolicy{At: timestamppb.New(at), Error: clip(why, maxRejected-mark)}
	}
	return out, nil
}
