package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func newHealthcheck() *cobra.Command {
	var rest string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Exit 0 if the service on this machine is ready", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return healthcheck(cmd.Context(), rest) },
	}
	cmd.Flags().StringVar(&rest, "rest", "127.0.0.1:8080", "address of the REST door")
	return cmd
}

// healthcheck asks /readyz: images without a shell have no curl.
func healthcheck(ctx context.Context, rest string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+rest+"/readyz", nil)
	if err != nil {
		return err
	}
	door := &http.Transport{DisableKeepAlives: true} // no proxy from the environment, no redirects
	res, err := door.RoundTrip(req)
	if err != nil {
		return exit{fmt.Errorf("not ready: %w", err), exitOther}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return exit{fmt.Errorf("not ready: %s", res.Status), exitOther}
	}
	return nil
}
