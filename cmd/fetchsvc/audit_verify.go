package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/fetchsvc/fetchsvc/internal/audit"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Work with audit logs", Args: cobra.NoArgs}
	var from string
	verify := &cobra.Command{
		Use: "verify FILE...", Short: "Check that no line of a chained audit log was changed, dropped or moved",
		Long: "Check that no line of a chained audit log was changed, dropped from the beginning or the\n" +
			"middle, or moved. Several files are checked as one log, in the order given. What was cut off\n" +
			"at the end shows only beside the last hash, which is printed, kept elsewhere.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if raw, err := hex.DecodeString(from); from != "" && (err != nil || len(raw) != 32) {
				return fmt.Errorf("--from %s: write the hash of the line that the first one follows, 64 hexadecimal digits", from)
			}
			return verifyAudit(files, from, cmd.OutOrStdout())
		},
	}
	verify.Flags().StringVar(&from, "from", "", "hash of the line that the first one follows, where the files before are gone; empty: the log begins here")
	cmd.AddCommand(verify)
	return cmd
}

func verifyAudit(files []string, from string, out io.Writer) error {
	lines, last := 0, from
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return exit{err, exitOther}
		}
		done, err := audit.Verify(f, last)
		_ = f.Close()
		for _, at := range done.Torn {
			_, _ = fmt.Fprintf(out, "%s: line %d was cut off by a crash; the line behind it says so\n", path, at)
		}
		if err != nil {
			return exit{fmt.Errorf("%s: %w", path, err), exitOther}
		}
		lines, last = lines+done.Lines, done.Last
	}
	_, err := fmt.Fprintf(out, "%d lines are as they were written; the last hash is %s\n", lines, last)
	return err
}
