package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// newRoot makes the command line.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "fetchsvc",
		Short: "One service makes every outbound HTTP call",
		Long: "fetchsvc makes outbound HTTP calls for internal services, under one policy:\n" +
			"`fetchsvc dev` to try it, `fetchsvc serve` to run it, `fetchsvc fetch URL` to call it.",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(newServe(), newDev(), newFetch(), newHealthcheck(), newVersion())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "fetchsvc %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// exit is an error that chooses the exit code.
type exit struct {
	error
	code int
}

func (e exit) Unwrap() error { return e.error }

// exitCode is 2 for a wrong command line, else what the error chose.
func exitCode(err error) int {
	var e exit
	if errors.As(err, &e) {
		return e.code
	}
	return 2
}
