// Command fetchsvc makes a company's outbound HTTP calls: the service, and a
// client of it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop() // the service drains; a second signal does not wait for it
		// timeout(1) and the like signal a process, then its group: that is one signal
		for first := time.Now(); time.Since(first) < 100*time.Millisecond; {
			<-signals
		}
		os.Exit(exitInterrupted)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program as a function of its surroundings.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(errs, "fetchsvc:", err)
		return exitCode(err)
	}
	return 0
}
