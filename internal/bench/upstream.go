package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// bodySize reads -body, which is also the upstream's path; 0: there is no such.
func bodySize(name string) int {
	switch name {
	case "1KiB":
		return 1 << 10
	case "64KiB":
		return 64 << 10
	}
	return 0
}

// serveUpstream is a child that answers fixed JSON on kept-alive connections.
func serveUpstream(ctx context.Context, errs io.Writer) error {
	mux := http.NewServeMux()
	for _, name := range []string{"1KiB", "64KiB"} {
		body := jsonOf(bodySize(name))
		length := strconv.Itoa(len(body))
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", length)
			_, _ = w.Write(body)
		})
	}
	lis, err := announce(ctx, errs, "http")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(lis); err != http.ErrServerClosed {
		return fmt.Errorf("upstream: %w", err)
	}
	return nil
}

// jsonOf is a JSON object of size bytes.
func jsonOf(size int) []byte {
	const head, tail = `{"data":"`, `"}`
	return []byte(head + strings.Repeat("x", size-len(head)-len(tail)) + tail)
}
