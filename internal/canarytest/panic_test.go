package canarytest

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/server"
)

// TestPanic: a panic in the middle of signing, with the secrets at hand, is logged
// and answered without them. Only a defect panics, so this one is made: the clock
// that signatures are dated by.
func TestPanic(t *testing.T) {
	birds, said := newAviary(), newEvidence()
	key := birds.hatch("key")
	secrets := secret.New(secret.Config{LookupEnv: func(string) (string, bool) { return key, true }})
	defer secrets.Close()
	snapshot, err := policy.Parse("panic.yaml", []byte(`
credentials:
  - {name: hmac, bind: ["http://127.0.0.1:1"], hmac: {key: {secret: env:KEY}, text: "${method}", headers: {X-Signature: "${signature}", X-Date: "${timestamp}"}}}
  - {name: aws, bind: ["http://127.0.0.1:2"], aws: {region: a, service: s3, access_key_id: {secret: env:KEY}, secret_access_key: {secret: env:KEY}, session_token: {secret: env:KEY}}}
upstreams:
  - {name: one, hosts: ["127.0.0.1:1"], schemes: [http], unsafe_allow_addresses: [127.0.0.1], credential: hmac}
  - {name: two, hosts: ["127.0.0.1:2"], schemes: [http], unsafe_allow_addresses: [127.0.0.1], credential: aws}
`), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{Secrets: secrets})
	defer pools.Close()
	keep := auth.NewKeep(auth.Config{Secrets: secrets, Now: func() time.Time { panic("the clock has stopped") }})
	defer keep.Close()
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "test", Keep: keep})
	engine.Use(snapshot)
	var log bytes.Buffer
	srv, err := server.New(server.Config{Engine: engine, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	grpcLis, restLis := listen(t), listen(t)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(grpcLis, restLis) }()
	w := &world{t: t, birds: birds, said: said}
	d := &driver{world: w, child: &child{rest: "http://" + restLis.Addr().String()}}
	for _, path := range []string{"/v1/fetch", "/v1/stream"} {
		for _, port := range []string{"1", "2"} {
			text := `{"url":"http://127.0.0.1:` + port + `/"}`
			if path == "/v1/stream" {
				text = `{"start":` + text + `}`
			}
			if got := d.send(path, http.MethodPost, path, text, ""); !bytes.Contains(got, []byte("INTERNAL")) {
				t.Errorf("%s to port %s: got %s, want INTERNAL", path, port, got)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	srv.Shutdown(ctx)
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if n := strings.Count(log.String(), "the clock has stopped"); n != 4 {
		t.Errorf("the log tells of %d panics, want 4", n)
	}
	said.emit("log", log.Bytes())
	said.acquit(t, birds)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
