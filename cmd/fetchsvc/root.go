package main

import (
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
			"`fetchsvc dev` to try it, `fetchsvc serve` to run it, `fetchsvc fetch URL` to call it,\n" +
			"`fetchsvc batch FILE` to make many calls at once, `fetchsvc explain METHOD URL` to learn what\n" +
			"policy makes of a call, `fetchsvc check FILE` to check a policy.",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; `%s --help` lists the flags", err, cmd.CommandPath())
	})
	root.AddCommand(newServe(), newDev(), newFetch(), newBatch(), newPolicy(), newExplain(), newCheck(), newAudit(), newHealthcheck(), newVersion())
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
