package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	otellog "go.opentelemetry.io/otel/log"
	"google.golang.org/grpc/peer"

	"github.com/fetchsvc/fetchsvc/internal/audit"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
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

// auditLog is the log and where it is written; nil: nobody hears of calls.
type auditLog struct {
	*audit.Log
	file *audit.File // nil: there is none, or it is not ours to close
	log  *slog.Logger
	// unhook ends the following of SIGHUP.
	unhook func()
}

// open opens the log, of which records has a copy; nil: log records are not exported.
// Where they are, calls are among them without a file too: that is what whoever asks
// for a service's log looks for in it.
func (o *auditOptions) open(stdout io.Writer, records otellog.Logger, log *slog.Logger) (*auditLog, error) {
	switch {
	case o.sample < 0 || o.sample > 1:
		return nil, fmt.Errorf("--audit-sample %v: write a share from 0 to 1", o.sample)
	case o.path == "" && o.chain:
		return nil, fmt.Errorf("--audit-chain needs --audit FILE")
	case o.path == "" && o.sample != 1 && records == nil:
		return nil, fmt.Errorf("--audit-sample needs --audit FILE, or log records exported by OTEL_LOGS_EXPORTER=otlp")
	case o.path == "" && records == nil:
		return nil, nil
	}
	cfg := audit.Config{Sample: o.sample, Chain: o.chain, Failed: func(lost int64, err error) {
		if err != nil {
			log.Error("the audit log cannot be written", "path", o.path, "error", err)
			return
		}
		log.Warn("the audit log is written again", "path", o.path, "lost", lost)
	}}
	if records != nil {
		cfg.Tell = audit.Records(records)
	}
	l := &auditLog{log: log, unhook: func() {}}
	switch o.path {
	case "":
	case "-":
		cfg.W = stdout
	default:
		file, past, err := o.openFile(log)
		if err != nil {
			return nil, fmt.Errorf("--audit: %w", err)
		}
		cfg.W, cfg.Past, l.file = file, past, file
		l.unhook = onHangup(file.Follow)
	}
	l.Log = audit.New(cfg)
	return l, nil
}

func (o *auditOptions) openFile(log *slog.Logger) (*audit.File, audit.Past, error) {
	file, past, err := audit.OpenFile(o.path, o.chain, func(err error) {
		if err != nil {
			log.Error("the audit log cannot follow its path", "path", o.path, "error", err)
			return
		}
		log.Info("the audit log goes on in a new file", "path", o.path)
	})
	if err == nil && past.Torn != "" {
		log.Warn("the audit log goes on behind a torn line", "path", o.path, "torn", past.Torn)
	}
	return file, past, err
}

// onHangup calls do at each SIGHUP, until stop, which waits.
func onHangup(do func()) (stop func()) {
	asked, over, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(asked, syscall.SIGHUP)
	go func() {
		defer close(ended)
		defer signal.Stop(asked)
		for {
			select {
			case <-asked:
				do()
			case <-over:
				return
			}
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}

// Close writes what waits and closes the file, behind the last call.
func (l *auditLog) Close() {
	if l == nil {
		return
	}
	l.unhook()
	if lost := l.Log.Close(); lost > 0 {
		l.log.Error("lines of the audit log are lost", "lost", lost)
	}
	if l.file != nil {
		_ = l.file.Close()
	}
}

// finished observes the calls that the engine made; nil if nobody hears.
func (l *auditLog) finished() func(context.Context, *fetch.Finished) {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, f *fetch.Finished) {
		l.Write(l.origin(telemetry.WithTrace(ctx, f.Trace), audit.FromCall(f, time.Now())))
	}
}

// refused observes those that never came to it; nil if nobody hears.
func (l *auditLog) refused() func(context.Context, string, *fault.Error) {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, rpc string, f *fault.Error) {
		e := audit.FromRefusal(f, time.Now())
		e.RPC = rpc
		l.Refuse(l.origin(ctx, e))
	}
}

// origin adds what the door and the trace know.
func (l *auditLog) origin(ctx context.Context, e *audit.Entry) *audit.Entry {
	from := server.OriginOf(ctx)
	e.Door, e.Proof = from.Door, from.Proof
	e.RPC = cmp.Or(from.RPC, e.RPC)
	e.Caller = cmp.Or(e.Caller, from.Caller)
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		e.Peer = hostOf(p.Addr)
	}
	if t := telemetry.TraceFrom(ctx); t != nil {
		e.Span, e.TraceID, e.SpanID = t.Context(), t.ID.String(), t.Span.String()
	}
	return e
}

// hostOf is an address without its port.
func hostOf(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().String()
	}
	return ""
}
