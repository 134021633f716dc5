package telemetry

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// tlsConfig is that of a collector which wants a certificate, with the file of the
// authority that it goes by and those of a certificate and key that it takes.
func tlsConfig(t *testing.T) (config *tls.Config, authority, cert, key string) {
	t.Helper()
	ca := testpeer.NewCA(t)
	certPEM, keyPEM := testpeer.PEM(t, ca.Issue(testpeer.CertOpts{Client: true}))
	return &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(testpeer.CertOpts{})},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), NextProtos: []string{"h2", "http/1.1"},
	}, file(t, ca.PEM()), file(t, certPEM), file(t, keyPEM)
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTLS has a collector that both sides of which show certificates, and one whose
// authority nobody named.
func TestTLS(t *testing.T) {
	for _, protocol := range bothProtocols {
		t.Run(protocol, func(t *testing.T) {
			server, authority, cert, key := tlsConfig(t)
			s := (&sink{tls: server}).serve(t, protocol)
			tel, said := setup(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": s.url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_CERTIFICATE": authority,
				"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": cert, "OTEL_EXPORTER_OTLP_CLIENT_KEY": key,
			})
			emitAll(t, tel)
			if err := tel.Shutdown(t.Context()); err != nil || len(s.spans()) != 1 || len(s.records()) != 1 || s.metric("go.memory.used") == nil {
				t.Errorf("%v; %d spans, %d records; the log says %s", err, len(s.spans()), len(s.records()), said)
			}

			stranger, _, _, _ := tlsConfig(t)
			another := (&sink{tls: stranger}).serve(t, protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
			tel, _ = setup(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": another.url})
			emitAll(t, tel)
			if err := tel.Shutdown(t.Context()); err == nil || len(another.spans()) > 0 {
				t.Errorf("%v; %d spans went to a collector of another authority", err, len(another.spans()))
			}
		})
	}
}

// emitAll emits a span and a line.
func emitAll(t *testing.T, tel *Telemetry) {
	t.Helper()
	tel.Emit(Span{Trace: newTraceID(), ID: NewSpanID(), Name: "GET"})
	slog.New(tel.LogHandler(slog.NewTextHandler(&strings.Builder{}, nil))).Info("line")
}
