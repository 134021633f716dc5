package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

func finished(t *testing.T, edit func(*fetch.Finished)) *fetch.Finished {
	t.Helper()
	u, err := target.Parse("https://api.example/v1/things?api_key=canary-secret")
	if err != nil {
		t.Fatal(err)
	}
	f := &fetch.Finished{
		Request: &fetch.Request{Caller: "billing", Method: "GET", URL: u, Header: http.Header{
			"User-Agent": {"sdk/1"}, "Authorization": {"Bearer canary-secret"}, "Cookie": {"s=canary-secret"},
		}},
		Response: &fetch.Response{
			Status: 200, URL: u, Header: http.Header{"Content-Type": {"text/plain"}, "Set-Cookie": {"canary-secret"}},
			Body: []byte("canary-secret"), Elapsed: 1500 * time.Microsecond, BytesReceived: 13,
			Attempts: []*fetch.Attempt{
				{Address: "192.0.2.1:443", Status: 503, URL: u},
				{Address: "192.0.2.1:443", Status: 200, URL: u, Wait: 2 * time.Millisecond, Credential: "bot", Proxy: "http://p:1"},
			},
		},
		Upstream: "api", Route: "routes[0]", Generation: 3,
	}
	if edit != nil {
		edit(f)
	}
	return f
}

func TestEntry(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		edit func(*fetch.Finished)
		want map[string]any
	}{
		"answered": {nil, map[string]any{
			"decision": "allowed", "outcome": "answered", "caller": "billing", "url": "https://api.example/v1/things",
			"attempts": 2.0, "addresses": []any{"192.0.2.1:443"}, "credential": "bot", "proxy": "http://p:1",
			"waited_ms": 2.0, "duration_ms": 1.5, "status": 200.0, "policy_generation": 3.0, "user_agent": "sdk/1",
		}},
		"denied": {func(f *fetch.Finished) {
			f.Err, f.Response = fault.New(fault.PolicyDenied, "deny of upstream"), &fetch.Response{}
		}, map[string]any{"decision": "denied", "outcome": "POLICY_DENIED", "reason": "deny of upstream", "attempts": 0.0, "addresses": []any{}}},
		"failed": {func(f *fetch.Finished) {
			f.Err, f.Response.Status = fault.New(fault.ConnectionReset, "reset"), 0
		}, map[string]any{"decision": "allowed", "outcome": "CONNECTION_RESET", "status": 503.0}},
		"reported": {func(f *fetch.Finished) { f.Reported = "deny would refuse it" },
			map[string]any{"decision": "reported", "outcome": "answered", "reason": "deny would refuse it"}},
	} {
		var out bytes.Buffer
		New(Config{W: &out, Sample: 1}).Write(FromCall(finished(t, c.edit), now))
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v in %s", name, err, out.Bytes())
		}
		for key, want := range c.want {
			if !reflect.DeepEqual(got[key], want) {
				t.Errorf("%s: %s is %v, want %v", name, key, got[key], want)
			}
		}
		if strings.Contains(out.String(), "canary-secret") {
			t.Errorf("%s: the line has a secret: %s", name, out.String())
		}
		if len(got) != reflect.TypeFor[Entry]().NumField() {
			t.Errorf("%s: the line has %d keys, want all %d", name, len(got), reflect.TypeFor[Entry]().NumField())
		}
	}
}

func TestSampleLeavesOutAnsweredCallsOnly(t *testing.T) {
	var out bytes.Buffer
	l := New(Config{W: &out, Sample: 0})
	for _, e := range []*Entry{
		FromCall(finished(t, nil), time.Now()),
		FromCall(finished(t, func(f *fetch.Finished) { f.Err = fault.New(fault.PolicyDenied, "no") }), time.Now()),
		FromCall(finished(t, func(f *fetch.Finished) { f.Reported = "would" }), time.Now()),
		FromRefusal(fault.New(fault.Unauthenticated, "who"), time.Now()),
	} {
		l.Write(e)
	}
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("%d lines were written, want the three that are not plain answers:\n%s", n, out.String())
	}
}

func TestChain(t *testing.T) {
	var out bytes.Buffer
	l := New(Config{W: &out, Sample: 1, Chain: true})
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			l.Write(&Entry{Decision: Denied, Reason: fmt.Sprintf(`"hash":"%d\n`, i)})
		})
	}
	group.Wait()
	whole := out.String()
	n, last, err := Verify(strings.NewReader(whole), "")
	if err != nil || n != 50 {
		t.Fatalf("Verify gives %d lines and %v, want 50", n, err)
	}
	next := New(Config{W: &out, Sample: 1, Chain: true, Last: last})
	next.Write(&Entry{Decision: Denied})
	if n, _, err := Verify(strings.NewReader(out.String()), ""); err != nil || n != 51 {
		t.Errorf("behind a restart Verify gives %d lines and %v, want 51", n, err)
	}
	lines := strings.SplitAfter(whole, "\n")
	for name, c := range map[string]struct{ text, want string }{
		"changed":   {strings.Replace(whole, `"decision":"denied"`, `"decision":"allow"`, 1), "line 1: it was changed"},
		"dropped":   {strings.Join(append(append([]string{}, lines[:9]...), lines[10:]...), ""), "line 10: it does not follow"},
		"swapped":   {lines[0] + lines[2] + lines[1], "line 2: it does not follow"},
		"added":     {lines[0] + lines[0], "line 2: it does not follow"},
		"torn":      {whole[:len(whole)-10], "line 50"},
		"unchained": {`{"msg":"call"}` + "\n", "line 1: it has no hash"},
	} {
		if _, _, err := Verify(strings.NewReader(c.text), ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Verify says %v, want %q", name, err, c.want)
		}
	}
	if _, _, err := Verify(strings.NewReader(lines[1]), "another file's last"); err == nil {
		t.Error("Verify takes a file that does not follow the one before")
	}
}

type broken struct{ err error }

func (b *broken) Write(p []byte) (int, error) { return len(p), b.err }

func TestFailureIsToldOnce(t *testing.T) {
	told := 0
	w := &broken{errors.New("disk full")}
	l := New(Config{W: w, Failed: func(error) { told++ }})
	for range 3 {
		l.Write(&Entry{Decision: Denied})
	}
	w.err = nil
	l.Write(&Entry{Decision: Denied})
	w.err = errors.New("disk full")
	l.Write(&Entry{Decision: Denied})
	if told != 2 {
		t.Errorf("the failure was told %d times, want once for each time it began", told)
	}
}
