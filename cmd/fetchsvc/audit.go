package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/fetchsvc/fetchsvc/internal/audit"
)

// auditOptions are the flags of serve and dev for the audit log.
type auditOptions struct {
	path   string
	sample float64
	chain  bool
}

func (o *auditOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.path, "audit", "", "file that gets one line of JSON for each call; - is standard output")
	cmd.Flags().Float64Var(&o.sample, "audit-sample", 1, "share of answered calls that get a line, 0 to 1; refused and failed ones always do")
	cmd.Flags().BoolVar(&o.chain, "audit-chain", false, "chain the lines by SHA-256, for `fetchsvc audit verify`")
}

// open opens the log; nil: there is none.
func (o *auditOptions) open(stdout io.Writer, log *slog.Logger) (*audit.Log, io.Closer, error) {
	switch {
	case o.sample < 0 || o.sample > 1:
		return nil, nil, fmt.Errorf("--audit-sample %v: write a share from 0 to 1", o.sample)
	case o.path == "" && (o.chain || o.sample != 1):
		return nil, nil, fmt.Errorf("--audit-chain and --audit-sample need --audit FILE")
	case o.path == "":
		return nil, io.NopCloser(nil), nil
	}
	cfg := audit.Config{W: stdout, Sample: o.sample, Chain: o.chain, Failed: func(err error) {
		log.Error("the audit log cannot be written", "path", o.path, "error", err)
	}}
	if o.path == "-" {
		return audit.New(cfg), io.NopCloser(nil), nil
	}
	f, err := os.OpenFile(o.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("--audit: %w", err)
	}
	if o.chain {
		if _, cfg.Last, err = audit.Verify(f, ""); err != nil {
			_ = f.Close()
			return nil, nil, fmt.Errorf("--audit-chain: %s cannot be continued: %w; move it away", o.path, err)
		}
	}
	cfg.W = f
	return audit.New(cfg), f, nil
}

func newAudit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Work with audit logs", Args: cobra.NoArgs}
	cmd.AddCommand(&cobra.Command{
		Use: "verify FILE...", Short: "Check that no line of a chained audit log was changed, dropped or moved",
		Long: "Check that no line of a chained audit log was changed, dropped from the middle or moved.\n" +
			"Several files are checked as one log, in the order given. What was cut off at the end\n" +
			"shows only beside the last hash, which is printed, kept elsewhere.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return verifyAudit(files, cmd.OutOrStdout())
		},
	})
	return cmd
}

func verifyAudit(files []string, out io.Writer) error {
	lines, last := 0, ""
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return exit{err, exitOther}
		}
		n, hash, err := audit.Verify(f, last)
		_ = f.Close()
		if err != nil {
			return exit{fmt.Errorf("%s: %w", path, err), exitOther}
		}
		lines, last = lines+n, hash
	}
	_, err := fmt.Fprintf(out, "%d lines are as they were written; the last hash is %s\n", lines, last)
	return err
}
