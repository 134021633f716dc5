package oteltest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds waits for the service. It is no part of any assertion.
const patience = 60 * time.Second

// Program is fetchsvc, built once, when it is needed. Make one for all tests of a
// package, and have TestMain Close it.
type Program struct {
	once sync.Once
	dir  string
	err  error
}

// Close removes what was built.
func (p *Program) Close() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

func (p *Program) build() {
	if p.dir, p.err = os.MkdirTemp("", "fetchsvc-otel"); p.err != nil {
		return
	}
	build := exec.Command("go", "build", "-trimpath", "-o", p.path(), "github.com/fetchsvc/fetchsvc/cmd/fetchsvc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		p.err = fmt.Errorf("%w: %s", err, out)
	}
}

func (p *Program) path() string { return filepath.Join(p.dir, "fetchsvc") }

// Service is a running `fetchsvc serve`.
type Service struct {
	// GRPC and REST are the addresses of its doors.
	GRPC, REST string

	t     testing.TB
	cmd   *exec.Cmd
	log   chan []byte
	ended bool
}

// Start runs the service under a policy, with all its telemetry to sink and these
// variables and flags, until it is stopped or the test ends.
func (p *Program) Start(t testing.TB, sink *Sink, policy string, env []string, args ...string) *Service {
	t.Helper()
	if p.once.Do(p.build); p.err != nil {
		t.Fatalf("oteltest: build the service: %v", p.err)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(p.path(), append([]string{"serve", "--policy", file, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0"}, args...)...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "OTEL_EXPORTER_OTLP_ENDPOINT=" + sink.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp",
	}, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Service{t: t, cmd: cmd, log: make(chan []byte, 1)}
	serving := make(chan [2]string, 1)
	go func() {
		var said bytes.Buffer
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Msg, GRPC, REST string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- [2]string{line.GRPC, line.REST}
			}
			said.Write(append(lines.Bytes(), '\n'))
		}
		close(serving)
		s.log <- said.Bytes()
	}()
	t.Cleanup(func() { s.Stop() })
	at, ok := <-serving
	if !ok {
		s.Stop()
		t.FailNow()
	}
	s.GRPC, s.REST = at[0], at[1]
	return s
}

// Stop ends the service as an operator does, which sends all that it has yet to tell,
// and gives its log.
func (s *Service) Stop() string {
	s.t.Helper()
	if s.ended {
		return ""
	}
	s.ended = true
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	log := <-s.log
	if err := s.cmd.Wait(); err != nil || !late.Stop() {
		s.t.Errorf("oteltest: the service ended with %v:\n%s", err, log)
	}
	return string(log)
}
