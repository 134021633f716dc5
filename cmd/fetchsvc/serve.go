package main

import (
	"bytes"
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// serveOptions are the flags that serve and dev share.
type serveOptions struct {
	policy string
	watch  bool
	grpc   string
	rest   string
	grace  time.Duration
	doorOptions
	audit auditOptions
}

func (o *serveOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.policy, "policy", "", "policy file, or folder of them; without one everything is denied")
	cmd.Flags().BoolVar(&o.watch, "watch", true, "reload the policy when it changes; SIGHUP reloads it either way")
	cmd.Flags().StringVar(&o.grpc, "grpc", "127.0.0.1:9090", "address of the gRPC door")
	cmd.Flags().StringVar(&o.rest, "rest", "127.0.0.1:8080", "address of the REST door")
	cmd.Flags().DurationVar(&o.grace, "grace", 25*time.Second, "how long to finish calls in flight after a signal")
	o.audit.flags(cmd)
}

func newServe() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the service", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.conflicts(); err != nil {
				return err
			}
			level := new(slog.LevelVar)
			seen, err := observe(cmd.Context(), telemetry.NewLogHandler(cmd.ErrOrStderr(), level), level)
			if err != nil {
				return err
			}
			defer seen.close()
			file := newPolicyFile(o.policy, seen.log)
			if o.policy == "" {
				return o.serve(cmd.Context(), policy.DenyAll(), file, seen, func(_, _ string) {
					seen.log.Warn("no policy file: every call is denied; start with --policy FILE")
				})
			}
			snapshot, err := file.load()
			if err != nil {
				return err
			}
			return o.serve(cmd.Context(), snapshot, file, seen, func(_, _ string) {})
		},
	}
	o.flags(cmd)
	o.doorOptions.flags(cmd.Flags())
	return cmd
}

// flushTime is how long the last lines of telemetry may take to be sent.
const flushTime = 3 * time.Second

// serve runs the service until ctx ends, under snapshot at first. started is
// called once both doors are open, with their addresses.
func (o *serveOptions) serve(ctx context.Context, snapshot *policy.Snapshot, file *policyFile, seen *observed, started func(grpc, rest string)) error {
	log := file.log
	doors := &doors{doorOptions: &o.doorOptions}
	defer doors.close()
	grpcLis, err := doors.listen("grpc", o.grpc, snapshot)
	if err != nil {
		return err
	}
	restLis, err := doors.listen("rest", o.rest, snapshot)
	if err != nil {
		return err
	}
	tls, err := o.tls(log)
	if err != nil {
		return err
	}
	tuneGC()
	stdlog.SetFlags(0)
	stdlog.SetOutput(unquoted{slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer()})
	audit, err := o.audit.open(os.Stdout, seen.telemetry.AuditLogger(), log)
	if err != nil {
		return err
	}
	defer audit.Close()
	svc, err := file.wire(snapshot, doors, tls, seen, audit)
	if err != nil {
		return exit{err, 1}
	}
	defer func() {
		seen.flush() // first: what is closed has nothing to tell any more
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		svc.close(ctx)
	}()
	ctx, stop := context.WithCancel(ctx)
	followed, err := svc.policy.start(ctx, o.watch)
	if err != nil {
		stop()
		return exit{err, exitOther}
	}
	defer followed()
	defer stop()
	log.Info("serving", "grpc", grpcLis.Addr().String(), "rest", restLis.Addr().String(),
		"tls", tls != nil, "policy", snapshot.Source, "upstreams", len(snapshot.Upstreams), "warnings", snapshot.Warnings, "version", version)
	started(grpcLis.Addr().String(), restLis.Addr().String())
	served := make(chan error, 1)
	go func() { served <- svc.server.Serve(grpcLis, restLis) }()
	select {
	case err := <-served:
		return exit{err, exitOther}
	case <-ctx.Done():
	}
	log.Info("stopping", "grace", o.grace.String())
	grace, cancel := context.WithTimeout(context.Background(), o.grace)
	defer cancel()
	svc.server.Shutdown(grace)
	if grace.Err() != nil {
		log.Warn("the grace is over: calls in flight were cut off")
	}
	if err := <-served; err != nil {
		return exit{err, exitOther}
	}
	log.Info("stopped")
	return nil
}

// unquoted is the standard logger's way out. net/http tells it what an upstream sent
// unasked, bytes and all, which may be our own credential: what is quoted, and all
// behind it, is left out.
type unquoted struct{ next io.Writer }

func (w unquoted) Write(line []byte) (int, error) {
	n := len(line)
	if at := bytes.IndexByte(line, '"'); at >= 0 {
		line = append(slices.Clip(line[:at]), "[not shown]"...)
	}
	_, err := w.next.Write(line)
	return n, err
}

// tuneGC trades memory for CPU where the operator says nothing: a heap this
// small is otherwise collected all the time.
func tuneGC() {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if strings.TrimSpace(os.Getenv(name)) != "" {
			return
		}
	}
	debug.SetGCPercent(400)
}
