package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/audit"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/server"
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
	cmd.Flags().BoolVar(&o.chain, "audit-chain", false, "chain the lines by SHA-256, for fetchsvc audit verify")
}

// auditLog is the log and where it is written; nil: there is none.
type auditLog struct {
	*audit.Log
	file io.Closer // nil: it is not ours to close
}

// open opens the log.
func (o *auditOptions) open(stdout io.Writer, log *slog.Logger) (*auditLog, error) {
	switch {
	case o.sample < 0 || o.sample > 1:
		return nil, fmt.Errorf("--audit-sample %v: write a share from 0 to 1", o.sample)
	case o.path == "" && (o.chain || o.sample != 1):
		return nil, fmt.Errorf("--audit-chain and --audit-sample need --audit FILE")
	case o.path == "":
		return nil, nil
	}
	cfg := audit.Config{W: stdout, Sample: o.sample, Chain: o.chain, Failed: func(err error) {
		log.Error("the audit log cannot be written", "path", o.path, "error", err)
	}}
	if o.path == "-" {
		return &auditLog{Log: audit.New(cfg)}, nil
	}
	f, err := os.OpenFile(o.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--audit: %w", err)
	}
	if o.chain {
		if _, cfg.Last, err = audit.Verify(f, ""); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("--audit-chain: %s cannot be continued: %w; move it away", o.path, err)
		}
	}
	if err := endLine(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("--audit: %w", err)
	}
	cfg.W = wholeLines{f}
	return &auditLog{audit.New(cfg), f}, nil
}

// wholeLines takes a line that could not be written whole, as on a full disk, away
// again: the next one would stand behind its half, and the chain be torn.
type wholeLines struct{ *os.File }

func (f wholeLines) Write(line []byte) (int, error) {
	n, err := f.File.Write(line)
	if err == nil || n == 0 {
		return n, err
	}
	if info, statErr := f.Stat(); statErr == nil {
		_ = f.Truncate(info.Size() - int64(n))
	}
	return 0, err
}

// endLine ends the last line of what a crash cut off.
func endLine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = f.Write([]byte{'\n'})
	return err
}

// Close closes the file, behind the last call.
func (l *auditLog) Close() {
	if l != nil && l.file != nil {
		_ = l.file.Close()
	}
}

// finished observes the calls that the engine made; nil without a log.
func (l *auditLog) finished() func(context.Context, *fetch.Finished) {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, f *fetch.Finished) { l.write(ctx, audit.FromCall(f, time.Now())) }
}

// refused observes those that never came to it; nil without a log.
func (l *auditLog) refused() func(context.Context, string, *fault.Error) {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, rpc string, f *fault.Error) {
		e := audit.FromRefusal(f, time.Now())
		e.RPC = rpc
		l.write(ctx, e)
	}
}

// write adds what the door and the trace know.
func (l *auditLog) write(ctx context.Context, e *audit.Entry) {
	from := server.OriginOf(ctx)
	e.Door, e.Proof = from.Door, from.Proof
	e.RPC = cmp.Or(from.RPC, e.RPC)
	e.Caller = cmp.Or(e.Caller, from.Caller)
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		e.TraceID, e.SpanID = span.TraceID().String(), span.SpanID().String()
	}
	l.Write(e)
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
