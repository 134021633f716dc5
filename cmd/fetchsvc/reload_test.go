package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// allowing is a policy that lets calls reach the hosts of this machine.
func allowing(hosts string) string {
	return fmt.Sprintf("upstreams:\n  - {name: local, hosts: [%q], schemes: [http], unsafe_allow_addresses: [127.0.0.0/8]}\n", hosts)
}

// awaitReload blocks until a generation is in force.
func (w *world) awaitReload(generation int) {
	w.t.Helper()
	w.await(w.stderr, fmt.Sprintf(`"msg":"policy reloaded","generation":%d,"sha256":"[0-9a-f]{64}","upstreams":1,"warnings":`, generation))
}

// policy runs `fetchsvc policy` against the service.
func (w *world) policy(t testing.TB) result {
	t.Helper()
	return runToEnd(t, input{}, "policy", "--server", w.grpc)
}

// TestReload takes a service through the life of a policy file.
func TestReload(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", allowing("127.0.0.1:1"))
	w := startServe(t, "--policy", file)
	if r := w.policy(t).ok(t); !strings.Contains(r.stdout, "generation  1\nsource      "+file+"\nsha256      ") {
		t.Errorf("fetchsvc policy: got %s", r.stdout)
	}

	must(t, os.WriteFile(file, []byte(allowing("127.0.0.1:2")), 0o644))
	w.awaitReload(2)
	if r := w.fetch(t, "http://127.0.0.1:1/"); r.code != exitDenied {
		t.Errorf("what the new policy denies: got exit code %d and %s, want %d", r.code, r.stderr, exitDenied)
	}

	must(t, os.WriteFile(file+".new", []byte(allowing("127.0.0.1:*")), 0o644))
	must(t, os.Rename(file+".new", file))
	w.awaitReload(3)

	// A bad one is told everywhere, and changes nothing.
	must(t, os.WriteFile(file, []byte("upstreams:\n  - name: a\n    hosts: [example.com]\n    max_response: 3\n"), 0o644))
	w.await(w.stderr, `"level":"ERROR","msg":"policy refused, the one before stays in force","error":".*policy.yaml:4:5.*max_response.*","generation":3`)
	r := w.policy(t)
	if r.code != 1 || !strings.Contains(r.stderr, "a newer policy was refused") {
		t.Errorf("fetchsvc policy with a refused one: got exit code %d and %s, want 1 and a word about it", r.code, r.stderr)
	}
	for _, want := range []string{"generation  3\n", "refused at  ", "policy.yaml:4:5", "max_response", "\n     4 | "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("fetchsvc policy with a refused one lacks %q:\n%s", want, r.stdout)
		}
	}
	if _, answer := ask(t, "GET", "http://"+w.rest+"/v1/policy:snapshot", ""); !strings.Contains(answer, `"rejected":{`) || !strings.Contains(answer, "max_response") {
		t.Errorf("the REST door: got %s, want the refused policy", answer)
	}
	if r := w.fetch(t, "http://127.0.0.1:1/"); r.code != exitUpstream {
		t.Errorf("a call beside a refused policy: got exit code %d and %s, want %d: nothing listens there, and policy lets it", r.code, r.stderr, exitUpstream)
	}

	// SIGHUP says it again, and takes a good one at once, whether it changed or not.
	w.signal(syscall.SIGHUP)
	w.awaitThat(w.stderr, "the refusal again", func(text string) bool { return strings.Count(text, "policy refused") == 2 })
	must(t, os.WriteFile(file, []byte(allowing("127.0.0.1:4")), 0o644))
	w.awaitReload(4)
	w.signal(syscall.SIGHUP)
	w.awaitReload(5)
	if r := w.policy(t).ok(t); !strings.Contains(r.stdout, "generation  5\n") || strings.Contains(r.stdout, "refused") {
		t.Errorf("fetchsvc policy at last: got %s", r.stdout)
	}
	w.signal(syscall.SIGTERM)
	if code := w.wait(); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr:\n%s", code, w.stderr)
	}
}

// TestReloadMounted has a ConfigMap mounted, as one file and as a folder.
func TestReloadMounted(t *testing.T) {
	t.Parallel()
	for name, arg := range map[string]string{"file": "etc/policy.yaml", "folder": "etc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, [2]string{"etc/..1/policy.yaml", allowing("127.0.0.1:1")}, [2]string{"etc/..data", "->..1"},
				[2]string{"etc/policy.yaml", "->..data/policy.yaml"})
			w := startServe(t, "--policy", filepath.Join(root, arg))
			for generation := 2; generation <= 3; generation++ {
				swapMount(t, filepath.Join(root, "etc"), "policy.yaml", allowing(fmt.Sprintf("127.0.0.1:%d", generation)))
				w.awaitReload(generation)
			}
			if n := strings.Count(w.stderr.String(), "policy refused"); n > 0 {
				t.Errorf("a swap was refused %d times:\n%s", n, w.stderr)
			}
		})
	}
}

func TestReloadDev(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", allowing("127.0.0.1:1"))
	w := startDev(t, "--policy", file)
	if r := w.fetch(t, w.bin+"/get"); r.code != exitDenied {
		t.Errorf("before: got exit code %d and %s, want %d", r.code, r.stderr, exitDenied)
	}
	must(t, os.WriteFile(file, []byte(allowing("127.0.0.1:*")), 0o644))
	w.await(w.stderr, `msg="policy reloaded" generation=2 `)
	w.fetch(t, w.bin+"/get").ok(t)
}

// TestReloadWhenAsked has the watch switched off.
func TestReloadWhenAsked(t *testing.T) {
	t.Parallel()
	file := writeTemp(t, "policy.yaml", allowing("127.0.0.1:1"))
	w := startServe(t, "--policy", file, "--watch=false")
	must(t, os.WriteFile(file, []byte(allowing("127.0.0.1:2")), 0o644))
	w.signal(syscall.SIGHUP)
	w.awaitReload(2)
}

// loads is a reloader whose policies come from a script.
type loads struct {
	*reloader
	used []int64 // generations
	now  *policy.Snapshot
	next func() (*policy.Snapshot, error)
	log  *stream
}

func newLoads() *loads {
	level := new(slog.LevelVar)
	l := &loads{now: policy.DenyAll(), log: newStream()}
	l.reloader = &reloader{
		path: "policy.yaml", log: slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: level})), level: level,
		load:    func() (*policy.Snapshot, error) { return l.next() },
		use:     func(s *policy.Snapshot) { l.now, l.used = s, append(l.used, s.Generation) },
		current: func() *policy.Snapshot { return l.now },
	}
	return l
}

// reads makes one reload of a policy with that text, or that error.
func (l *loads) reads(text string, err error, asked bool) {
	l.next = func() (*policy.Snapshot, error) {
		if err != nil {
			return nil, err
		}
		return policy.Parse("policy.yaml", []byte(text), policy.Options{})
	}
	l.reload(asked)
}

func TestReloader(t *testing.T) {
	t.Parallel()
	const one, two = "batch: {concurrency: 1}", "batch: {concurrency: 2}"
	bad, worse := errors.New("bad"), errors.New("worse")
	type load struct {
		text  string
		err   error
		asked bool
	}
	tests := []struct {
		name       string
		loads      []load
		generation int64
		rejected   string
		logged     map[string]int
	}{
		{"a new text", []load{{text: one}}, 2, "", map[string]int{"policy reloaded": 1}},
		{"the same text", []load{{text: one}, {text: one}}, 2, "", map[string]int{"policy reloaded": 1}},
		{"the same text, asked for", []load{{text: one}, {text: one, asked: true}}, 3, "", map[string]int{"policy reloaded": 2}},
		{"a bad one", []load{{text: one}, {err: bad}}, 2, "bad", map[string]int{"policy refused": 1}},
		{"a bad one again", []load{{err: bad}, {err: bad}}, 1, "bad", map[string]int{"policy refused": 1}},
		{"a bad one, asked for", []load{{err: bad}, {err: bad, asked: true}}, 1, "bad", map[string]int{"policy refused": 2}},
		{"two bad ones", []load{{err: bad}, {err: worse}}, 1, "worse", map[string]int{"policy refused": 2}},
		{"a good one after a bad one", []load{{err: bad}, {text: one}}, 2, "", map[string]int{"policy refused": 1, "policy reloaded": 1}},
		{"a bad one taken back", []load{{text: one}, {err: bad}, {text: one}}, 2, "", map[string]int{"again what is in force": 1, "policy reloaded": 1}},
		{"back and forth", []load{{text: one}, {text: two}, {text: one}}, 4, "", map[string]int{"policy reloaded": 3}},
		{"an empty file", []load{{text: one}, {text: ""}}, 2, "policy: policy.yaml: " + errEmpty.Error(), map[string]int{"policy refused": 1}},
		{"an empty policy", []load{{text: one}, {text: "{}"}}, 3, "", map[string]int{"policy refused": 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoads()
			for _, one := range tt.loads {
				l.reads(one.text, one.err, one.asked)
			}
			if l.now.Generation != tt.generation {
				t.Errorf("generation: got %d, want %d", l.now.Generation, tt.generation)
			}
			at, reason := l.rejected()
			if reason != tt.rejected || at.IsZero() != (tt.rejected == "") {
				t.Errorf("rejected: got %q at %v, want %q", reason, at, tt.rejected)
			}
			for line, want := range tt.logged {
				if got := strings.Count(l.log.String(), line); got != want {
					t.Errorf("%q is logged %d times, want %d:\n%s", line, got, want, l.log)
				}
			}
		})
	}
}

// TestReloaderSetsTheLevel: the line that tells of a level is not silenced by it, and
// says it where it changed.
func TestReloaderSetsTheLevel(t *testing.T) {
	t.Parallel()
	l := newLoads()
	for _, step := range []struct {
		text string
		want slog.Level
		said string // empty: nothing is
	}{
		{"telemetry: {log_level: error}", slog.LevelError, "policy reloaded\" log_level=ERROR generation=2 "},
		{"{telemetry: {log_level: error}, batch: {concurrency: 1}}", slog.LevelError, ""},
		{"telemetry: {log_level: debug}", slog.LevelDebug, "policy reloaded\" log_level=DEBUG "},
		{"{telemetry: {log_level: debug}, batch: {concurrency: 1}}", slog.LevelDebug, "policy reloaded\" generation=5 "},
		{"{}", slog.LevelInfo, "policy reloaded\" log_level=INFO "},
	} {
		before := len(l.log.String())
		l.reads(step.text, nil, false)
		said := l.log.String()[before:]
		if got := l.level.Level(); got != step.want {
			t.Errorf("%s: the level is %v, want %v", step.text, got, step.want)
		}
		if strings.Count(said, "\n") > 1 || !regexp.MustCompile(cmp.Or(step.said, "^$")).MatchString(said) {
			t.Errorf("%s: the log says %q, want one line with %q", step.text, said, step.said)
		}
	}
}

// TestLogLevel: a policy makes the running service say more, and less again.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	knock := func() (client string) { // what has no TLS is news at debug
		conn, err := net.Dial("tcp", o.rest)
		must(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("this is no TLS\n"))
		must(t, err)
		_, _ = io.Copy(io.Discard, conn)
		return conn.LocalAddr().String()
	}
	level := func(generation int, level string) {
		must(t, os.WriteFile(o.policy, []byte(officePolicy("telemetry: {log_level: "+level+"}\n")), 0o600))
		o.await(o.stderr, fmt.Sprintf(`"policy reloaded","log_level":"%s","generation":%d,`, strings.ToUpper(level), generation))
	}
	knock()
	level(2, "debug")
	told := knock()
	o.await(o.stderr, `"level":"DEBUG","msg":"no TLS with a client","peer":"`+told+`"`)
	level(3, "info")
	silent := knock()
	o.signal(syscall.SIGTERM)
	o.wait()
	if strings.Contains(o.stderr.String(), silent) {
		t.Errorf("at info the log still has lines of level debug:\n%s", o.stderr)
	}
}

func TestReloaderOutlivesADefect(t *testing.T) {
	t.Parallel()
	l := newLoads()
	l.next = func() (*policy.Snapshot, error) { panic("index out of range") }
	l.reload(false)
	if _, reason := l.rejected(); !strings.Contains(reason, "a defect of fetchsvc") || !strings.Contains(reason, "index out of range") {
		t.Errorf("rejected: got %q, want the defect", reason)
	}
}

// TestRefusedIsTriedAgain: a policy waits for a secret that is mounted later, of
// which nothing tells.
func TestRefusedIsTriedAgain(t *testing.T) {
	t.Parallel()
	for watched, want := range map[bool]int64{true: 2, false: 1} {
		synctest.Test(t, func(t *testing.T) {
			l := newLoads()
			mounted := time.Now().Add(time.Minute)
			l.next = func() (*policy.Snapshot, error) {
				if time.Now().Before(mounted) {
					return nil, errors.New("secret file:/run/secrets/token: no such file")
				}
				return policy.Parse("policy.yaml", []byte("batch: {concurrency: 1}"), policy.Options{})
			}
			var changed chan struct{}
			if watched {
				changed = make(chan struct{})
			}
			asked := make(chan os.Signal, 1)
			asked <- syscall.SIGHUP
			go l.follow(t.Context(), asked, changed) // the bubble waits for it
			time.Sleep(time.Minute + lookEvery)
			synctest.Wait()
			if l.now.Generation != want {
				t.Errorf("watched %t: generation: got %d, want %d", watched, l.now.Generation, want)
			}
			if n := strings.Count(l.log.String(), "policy refused"); n != 1 {
				t.Errorf("watched %t: the refusal is logged %d times, want once:\n%s", watched, n, l.log)
			}
		})
	}
}
