package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The roles in which this program starts itself.
const (
	roleFloor    = "floor"
	roleUpstream = "upstream"
	roleFlood    = "flood"
)

// announce listens on loopback and says where, in the words of fetchsvc's own
// log line, so that all children are read alike.
func announce(ctx context.Context, errs io.Writer, door string) (net.Listener, error) {
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	slog.New(slog.NewJSONHandler(errs, nil)).Info("serving", door, lis.Addr().String())
	return lis, nil
}

// addresses are where a program listens.
type addresses struct {
	GRPC string `json:"grpc"`
	REST string `json:"rest"`
	HTTP string `json:"http"`
}

// child is a running process.
type child struct {
	addresses
	cmd    *exec.Cmd
	exited chan struct{}
}

// spawn starts a child and waits until it listens. extra is added to its
// environment, from which all else that steers Go's runtime is taken.
func spawn(ctx context.Context, extra []string, path string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(path, args...), exited: make(chan struct{})}
	c.cmd.Env = append(slices.DeleteFunc(os.Environ(), steersRuntime), extra...)
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan addresses, 1)
	var last string // what the child said last, read once it has ended
	go func() {
		defer close(c.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			last = lines.Text()
			var at struct {
				Msg string
				addresses
			}
			if json.Unmarshal(lines.Bytes(), &at) == nil && at.Msg == "serving" {
				ready <- at.addresses
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
		_ = c.cmd.Wait()
	}()
	select {
	case c.addresses = <-ready:
		return c, nil
	case <-c.exited:
		return nil, fmt.Errorf("%s ended before it served: %s", c.cmd, last)
	case <-ctx.Done():
		c.stop()
		return nil, ctx.Err()
	}
}

// steersRuntime says that a variable changes what is measured.
func steersRuntime(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "GOGC" || name == "GOMEMLIMIT" || name == "GODEBUG" || name == "GOMAXPROCS" || strings.HasPrefix(name, "OTEL_")
}

// stop ends the child and waits for it.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(10 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// running says whether the child still lives.
func (c *child) running() error {
	select {
	case <-c.exited:
		return fmt.Errorf("%s ended: %s", c.cmd, c.cmd.ProcessState)
	default:
		return nil
	}
}
