package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// policyService serves PolicyService from the snapshot in force.
type policyService struct {
	fetchsvcv1.UnimplementedPolicyServiceServer
	snapshot func() *policy.Snapshot
}

// Explain is in the contract and not served yet.
func (s *policyService) Explain(context.Context, *fetchsvcv1.ExplainRequest) (*fetchsvcv1.ExplainResponse, error) {
	return nil, notYet("Explain", "a denied Fetch names the nearest rule in its error")
}

// ListUpstreams lists the upstreams in the file's order.
func (s *policyService) ListUpstreams(context.Context, *fetchsvcv1.ListUpstreamsRequest) (*fetchsvcv1.ListUpstreamsResponse, error) {
	out := &fetchsvcv1.ListUpstreamsResponse{}
	for _, up := range s.snapshot().Upstreams {
		out.Upstreams = append(out.Upstreams, &fetchsvcv1.Upstream{Name: up.Name, Hosts: up.Hosts, Schemes: up.Schemes})
	}
	return out, nil
}

// GetSnapshot identifies the policy in force.
func (s *policyService) GetSnapshot(context.Context, *fetchsvcv1.GetSnapshotRequest) (*fetchsvcv1.GetSnapshotResponse, error) {
	snap := s.snapshot()
	return &fetchsvcv1.GetSnapshotResponse{
		Generation: snap.Generation, Source: snap.Source, Sha256: snap.SHA256, LoadedAt: timestamppb.New(snap.LoadedAt),
	}, nil
}
