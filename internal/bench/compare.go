package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// program is one row of the table: a service and the door its calls come by.
type program struct {
	name string
	on   *child
	dial func(at addresses, url string, size, inFlight int) (*load, error)
	// within gives the same service in this process; nil: it allocates what
	// another row does.
	within func(*inProcess) addresses
}

func grpcDoor(at addresses, url string, size, inFlight int) (*load, error) {
	return overGRPC(at.GRPC, url, size, inFlight)
}

func restDoor(at addresses, url string, size, inFlight int) (*load, error) {
	return overREST(at.REST, url, size, inFlight)
}

// The rows that others refer to.
const (
	nameFloor    = "floor"
	nameFetchsvc = "fetchsvc"
	nameFloor400 = "floor, GOGC=400"
)

// field is all that takes part.
type field struct {
	options
	url      string
	snapshot *policy.Snapshot
	programs []program
	children []*child
	temp     string
}

// compare builds, measures and prints.
func compare(ctx context.Context, o options, out, errs io.Writer) error {
	f := &field{options: o}
	defer f.stop()
	if err := f.start(ctx, errs); err != nil {
		return err
	}
	f.header(out)
	var rows []row
	for _, c := range o.inFlight {
		fmt.Fprintf(errs, "measuring %d in flight…\n", c)
		at, err := f.measure(ctx, c)
		if err != nil {
			return err
		}
		rows = append(rows, at...)
	}
	for _, c := range o.inFlight {
		fmt.Fprintf(errs, "counting allocations, %d in flight…\n", c)
		if err := f.count(ctx, c, rows); err != nil {
			return err
		}
	}
	return f.report(out, rows)
}

// prepare builds fetchsvc and starts the upstream.
func (f *field) prepare(ctx context.Context, errs io.Writer) (binary, self string, upstream *child, err error) {
	if f.temp, err = os.MkdirTemp("", "fetchsvc-bench-"); err != nil {
		return "", "", nil, err
	}
	if self, err = os.Executable(); err != nil {
		return "", "", nil, err
	}
	fmt.Fprintln(errs, "building fetchsvc…")
	binary = filepath.Join(f.temp, "fetchsvc")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/fetchsvc/fetchsvc/cmd/fetchsvc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		return "", "", nil, fmt.Errorf("building fetchsvc: %w\n%s", err, msg)
	}
	if upstream, err = f.spawn(ctx, nil, self, roleUpstream); err != nil {
		return "", "", nil, err
	}
	f.url = "http://" + upstream.HTTP + "/" + f.body
	return binary, self, upstream, nil
}

// start starts all children.
func (f *field) start(ctx context.Context, errs io.Writer) error {
	binary, self, upstream, err := f.prepare(ctx, errs)
	if err != nil {
		return err
	}
	file := filepath.Join(f.temp, "policy.yaml")
	if err := os.WriteFile(file, []byte(policyFor(upstream.HTTP)), 0o600); err != nil {
		return err
	}
	if f.snapshot, err = policy.Load(file, policy.Options{}); err != nil {
		return err
	}
	floor, err := f.spawn(ctx, nil, self, roleFloor)
	if err != nil {
		return err
	}
	service, err := f.spawn(ctx, nil, binary, "serve", "--policy", file, "--grpc", "127.0.0.1:0", "--rest", "127.0.0.1:0")
	if err != nil {
		return err
	}
	floor400, err := f.spawn(ctx, []string{"GOGC=400"}, self, roleFloor)
	if err != nil {
		return err
	}
	f.programs = []program{
		{nameFloor, floor, grpcDoor, func(p *inProcess) addresses { return p.floor }},
		{nameFetchsvc, service, grpcDoor, func(p *inProcess) addresses { return p.fetchsvc }},
		{nameFloor400, floor400, grpcDoor, nil},
		{"fetchsvc, REST", service, restDoor, func(p *inProcess) addresses { return p.fetchsvc }},
	}
	return nil
}

func (f *field) spawn(ctx context.Context, env []string, path string, args ...string) (*child, error) {
	c, err := spawn(ctx, env, path, args...)
	if err == nil {
		f.children = append(f.children, c)
	}
	return c, err
}

// policyFor opens the upstream and says nothing more: every stage that policy
// can leave out is out.
func policyFor(upstream string) string {
	return strings.ReplaceAll(`upstreams:
  - name: bench
    hosts: ["UPSTREAM"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
`, "UPSTREAM", upstream)
}

func (f *field) stop() {
	for _, c := range f.children {
		c.stop()
	}
	if f.temp != "" {
		_ = os.RemoveAll(f.temp)
	}
}

// count fills in what the rows of c in flight allocate. A program's start and
// its caches are no part of a call, so a second of calls is plenty.
func (f *field) count(ctx context.Context, c int, rows []row) error {
	local, err := newInProcess(f.snapshot)
	if err != nil {
		return err
	}
	defer local.stop()
	for i := range rows {
		r := &rows[i]
		if r.inFlight != c || r.program.within == nil {
			continue
		}
		own, err := r.program.dial(r.program.within(local), f.url, bodySize(f.body), c)
		if err != nil {
			return err
		}
		defer own.close()
		other, err := r.program.dial(r.program.on.addresses, f.url, bodySize(f.body), c)
		if err != nil {
			return err
		}
		defer other.close()
		if r.allocs, err = serviceAllocs(ctx, own, other, min(f.duration, time.Second)); err != nil {
			return fmt.Errorf("%s, in process: %w", r.program.name, err)
		}
	}
	return nil
}
