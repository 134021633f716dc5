package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// TestLoopsByGRPC: a call that was here before ends before anybody asks who makes it.
func TestLoopsByGRPC(t *testing.T) {
	const token = "fetchsvc-abc"
	refused := 0
	i := &interceptors{log: slog.New(slog.DiscardHandler), loopToken: token, refused: func(_ context.Context, _ string, f *fault.Error) {
		if f.Kind == fault.LoopDetected {
			refused++
		}
	}}
	for _, values := range [][]string{{token}, {"other, " + token + ";v=1"}, {"other", token}} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"cdn-loop": values})
		err := i.around(ctx, "/fetchsvc.v1.FetchService/Fetch", func(context.Context) error {
			t.Errorf("%q: the handler runs", values)
			return nil
		})
		if !errors.Is(err, fault.LoopDetected) {
			t.Errorf("%q: got %v, want LOOP_DETECTED", values, err)
		}
	}
	if refused != 3 {
		t.Errorf("%d loops were told of, want 3", refused)
	}
}
