package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
	"github.com/spf13/cobra"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

//go:embed dev.yaml
var devPolicy string

// devHTTPBin is the address that dev.yaml names.
const devHTTPBin = "127.0.0.1:8081"

func newDev() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "Run the service with an example policy and an httpbin to call", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.audit.path == "-" && !cmd.Flags().Changed("calls") {
				o.calls = false // standard output has a line of each already
			}
			return o.dev(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.httpbin, "httpbin", devHTTPBin, "address of the httpbin")
	cmd.Flags().BoolVar(&o.calls, "calls", true, "print each call when it is over, unless --audit - does")
	cmd.Flags().Lookup("policy").Usage = "policy file, or folder of them, instead of the built-in example"
	return cmd
}

// devOptions are the flags of dev.
type devOptions struct {
	serveOptions
	httpbin string
	calls   bool
}

func (o *devOptions) dev(ctx context.Context, out, errs io.Writer) error {
	level := new(slog.LevelVar)
	seen, err := observe(ctx, telemetry.Traced(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level})), level)
	if err != nil {
		return err
	}
	defer seen.close()
	o.local = true
	lis, err := (&doors{doorOptions: &o.doorOptions}).listen("httpbin", o.httpbin, policy.DenyAll())
	if err != nil {
		return err
	}
	upstream := lis.Addr().String()
	file := newPolicyFile(o.policy, seen.log)
	snapshot, err := file.devSnapshot(upstream)
	if err != nil {
		_ = lis.Close()
		return err
	}
	bin := &http.Server{Handler: httpbin.New().Handler(), ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- bin.Serve(lis)
		stop() // without it, there is nothing to call
	}()
	began := func() {}
	if o.calls {
		signal.Ignore(syscall.SIGPIPE) // whoever read the banner may be gone: that ends nothing
		show := newCallPrinter(out, inColour(out))
		seen.tell, seen.refused, began = show.finished, show.refused, show.begin
		defer func() {
			if n := show.close(); n > 0 {
				seen.log.Info("the terminal did not take the last calls", "calls", n)
			}
		}()
	}
	err = o.serve(ctx, snapshot, file, seen, func(grpc, rest string) {
		fmt.Fprint(out, banner(grpc, rest, upstream))
		began()
	})
	_ = bin.Close()
	if binErr := <-ended; !errors.Is(binErr, http.ErrServerClosed) {
		err = exit{errors.Join(err, binErr), exitOther}
	}
	return err
}

// devSnapshot is the example policy, with the httpbin where it really listens,
// unless there is a file.
func (f *policyFile) devSnapshot(upstream string) (*policy.Snapshot, error) {
	if f.path != "" {
		return f.load()
	}
	_, port, err := net.SplitHostPort(upstream)
	if err != nil {
		return nil, err
	}
	return policy.Parse("dev", []byte(strings.ReplaceAll(devPolicy, ":8081", ":"+port)), f.options())
}

// banner is what to paste.
func banner(grpc, rest, upstream string) string {
	return fmt.Sprintf(`
fetchsvc %[1]s is ready: gRPC on %[2]s, REST on %[3]s, an httpbin to call on %[4]s.

  curl -s %[3]s/v1/fetch -d '{"url":"http://%[4]s/get","params":[{"name":"q","value":"python requests"}]}'

  grpcurl -plaintext -d '{"url":"http://%[4]s/get","as":"TEXT"}' %[2]s fetchsvc.v1.FetchService/Fetch

  fetchsvc fetch -v --server %[2]s http://%[4]s/get

Docs: http://%[3]s/docs/   Stop: Ctrl-C

`, version, grpc, rest, upstream)
}
