package audit

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
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

// keys are those of a line.
func keys() (all []string) {
	for entry, i := reflect.TypeFor[Entry](), 0; i < entry.NumField(); i++ {
		if key := entry.Field(i).Tag.Get("json"); key != "-" {
			all = append(all, key)
		}
	}
	return all
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
		l := New(Config{W: &out, Sample: 1})
		l.Write(FromCall(finished(t, c.edit), now))
		l.Close()
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
		if len(got) != len(keys()) {
			t.Errorf("%s: the line has %d keys, want all %d", name, len(got), len(keys()))
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
	} {
		l.Write(e)
	}
	l.Refuse(FromRefusal(fault.New(fault.Unauthenticated, "who"), time.Now()))
	l.Close()
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("%d lines were written, want the three that are not plain answers:\n%s", n, out.String())
	}
}
