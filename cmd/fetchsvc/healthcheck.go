package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthOptions are the flags of healthcheck. It needs no token: /readyz is for
// everyone.
type healthOptions struct {
	rest string
	tlsOptions
}

func newHealthcheck() *cobra.Command {
	var o healthOptions
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Exit 0 if the service on this machine is ready", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&o.rest, "rest", "127.0.0.1:8080", "address of the REST door")
	o.flags(cmd.Flags())
	return cmd
}

// run asks /readyz: images without a shell have no curl.
func (o *healthOptions) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	door := &http.Transport{DisableKeepAlives: true} // no proxy from the environment, no redirects
	scheme := "http"
	config, err := o.config()
	if err != nil {
		return err
	}
	if config != nil {
		scheme, door.TLSClientConfig = "https", config
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+o.rest+"/readyz", nil)
	if err != nil {
		return err
	}
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
