package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

const policyHelp = `policy tells which policy a running service has in force: where it came from, its digest, since
when, and its warnings. If a newer one was refused, it says why: the one before stays in force.

Exit codes:
  0    the policy in force is the newest
  1    a newer one was refused, or something else went wrong
  2    the command line is wrong
  4    the service does not tell this caller, or does not know who it is
  5    fetchsvc itself cannot be reached
  28   fetchsvc did not answer within 10s`

// policyPatience is how long the service may take to answer.
const policyPatience = 10 * time.Second

func newPolicy() *cobra.Command {
	var o clientOptions
	cmd := &cobra.Command{
		Use: "policy", Short: "Tell which policy a running service has in force", Long: policyHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return showPolicy(cmd.Context(), &o, cmd.OutOrStdout())
		},
	}
	cmd.Flags().SortFlags = false
	o.flags(cmd.Flags())
	return cmd
}

func showPolicy(ctx context.Context, o *clientOptions, out io.Writer) error {
	conn, err := o.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	asking, cancel := context.WithTimeout(ctx, policyPatience)
	defer cancel()
	s, err := fetchsvcv1.NewPolicyServiceClient(conn).GetSnapshot(asking, &fetchsvcv1.GetSnapshotRequest{})
	switch {
	case ctx.Err() != nil:
		return interrupted()
	case err != nil:
		late := fmt.Sprintf("no answer from fetchsvc at %s within %s", o.server, policyPatience)
		return teller{server: o.server, late: late}.callError(err)
	}
	if _, err := io.WriteString(out, snapshotText(s)); err != nil {
		return exit{err, exitOther}
	}
	if s.Rejected != nil {
		return exit{errors.New("a newer policy was refused; the one before stays in force"), exitOther}
	}
	return nil
}

// snapshotText is the answer for people.
func snapshotText(s *fetchsvcv1.GetSnapshotResponse) string {
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "%-11s %s\n", name, visible(value)) }
	block := func(text string) {
		for l := range strings.Lines(text) {
			b.WriteString("  " + visible(strings.TrimSuffix(l, "\n")) + "\n")
		}
	}
	row("generation", fmt.Sprint(s.GetGeneration()))
	row("source", s.GetSource())
	if s.GetSha256() != "" {
		row("sha256", s.GetSha256())
	}
	row("loaded at", s.GetLoadedAt().AsTime().Format(time.RFC3339))
	row("warnings", fmt.Sprint(len(s.GetWarnings())))
	for _, w := range s.GetWarnings() {
		block(w)
	}
	if r := s.GetRejected(); r != nil {
		row("refused at", r.GetAt().AsTime().Format(time.RFC3339)+": the policy above stays in force")
		block(r.GetError())
	}
	return b.String()
}
