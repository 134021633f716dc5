package faulttest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// row is one fault, one method, one policy, and what must come of them.
type row struct {
	name string
	// peer is what is called, and what is wrong with it.
	peer func(t *testing.T, w *world) peer
	// method is GET unless given. POST, PUT and PATCH send a body of size bytes,
	// 7 unless given.
	method string
	size   int
	// retry are the keys of policy's `retry` beside short waits; max_attempts is 3
	// unless they say otherwise. more are further keys of the upstream.
	retry, more string
	key         string // the caller's idempotency key
	// open is the door: the call is a stream, whose body is read to its end.
	open bool

	// want are the attempts, each with its reason and its outcome, and behind `=`
	// what the caller got; a `?` stands where something may have been processed.
	want string
	// vague rows leave open what was processed: it is a race of two sockets.
	vague bool
	safe  bool
	// stopped is the word for why no other attempt followed.
	stopped string
	// arrived is how many requests reached the peer, where it can tell.
	arrived int
}

// peer is where a row's call goes.
type peer struct {
	url string
	// requests counts what arrived; nil: nobody can tell.
	requests func() int
}

// world is what rows have in common.
type world struct {
	ca    *testpeer.CA
	toxic *toxiproxy
	names *nameserver
}

// rateWindow is what min_rate is measured over here; 10 s is long for a test.
const rateWindow = 100 * time.Millisecond

// attempt5s is long for a test too: what comes before the fault (a connection, the
// request's head) must fit into the clock also where the machine is starved. So
// it is for every clock that runs from before the request is sent.
const attempt5s = "timeouts: {attempt: 5s}"

func (r row) policy() string {
	retry := "backoff: {base: 1ms, max: 4ms}, budget: {unlimited: true}"
	if !strings.Contains(r.retry, "max_attempts") {
		retry += ", max_attempts: 3"
	}
	if r.retry != "" {
		retry += ", " + r.retry
	}
	text := `
upstreams:
  - name: peer
    hosts: ["127.0.0.1:*", "*.test:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {` + retry + "}\n"
	if r.more != "" {
		text += "    " + r.more + "\n"
	}
	return text
}

func (r row) engine(t *testing.T, w *world) *fetch.Engine {
	t.Helper()
	s, err := policy.Parse("row", []byte(r.policy()), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{RootCAs: w.ca.Pool(), Resolver: w.names.resolver()})
	t.Cleanup(pools.Close)
	e := fetch.New(fetch.Config{Pools: pools, UserAgent: "test", RateWindow: rateWindow})
	e.Use(s)
	return e
}

func (r row) request(t *testing.T, url string) *fetch.Request {
	t.Helper()
	u, err := target.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	req := &fetch.Request{Method: r.method, URL: u, Header: http.Header{}, IdempotencyKey: r.key}
	switch r.method {
	case "":
		req.Method = "GET"
	case "POST", "PUT", "PATCH":
		req.Body = fetch.Bytes(strings.Repeat("x", max(r.size, 7)))
	}
	return req
}

func (r row) run(t *testing.T, w *world) {
	p := r.peer(t, w)
	e := r.engine(t, w)
	var res *fetch.Response
	var err error
	if r.open {
		res, err = openAndRead(t, e, r.request(t, p.url))
	} else {
		res, err = e.Do(t.Context(), r.request(t, p.url))
	}
	got, want := told(res, err), r.want
	if r.vague {
		got, want = strings.ReplaceAll(got, "?", ""), strings.ReplaceAll(want, "?", "")
	}
	if got != want {
		t.Errorf("the call went\n%s (%v)\nwant\n%s", got, err, want)
	}
	if f := fault.From(err); err != nil && f.SafeToRetry != r.safe {
		t.Errorf("safe_to_retry is %v, want %v", f.SafeToRetry, r.safe)
	}
	r.checkLedger(t, res, err)
	if p.requests != nil {
		wantArrived(t, p.requests, r.arrived)
	}
}

// wantArrived waits for the requests that are still on their way: a call that a
// clock ended did not.
func wantArrived(t *testing.T, requests func() int, want int) {
	t.Helper()
	for late := time.Now().Add(patience); requests() < want && time.Now().Before(late); {
		time.Sleep(time.Millisecond)
	}
	if got := requests(); got != want {
		t.Errorf("%d requests arrived, want %d", got, want)
	}
}

// checkLedger holds what is so of every ledger.
func (r row) checkLedger(t *testing.T, res *fetch.Response, err error) {
	t.Helper()
	for i, a := range res.Attempts {
		last := i == len(res.Attempts)-1
		word, _, _ := strings.Cut(a.Stopped, ":")
		switch {
		case last && word != r.stopped:
			t.Errorf("the last attempt says of why there is no other: %q, want %s", a.Stopped, r.stopped)
		case !last && a.Stopped != "":
			t.Errorf("attempt %d was not the last and says %q", a.Number, a.Stopped)
		}
		if a.Number != i+1 || a.Timings.Total <= 0 || a.Status == 0 && a.Err == nil {
			t.Errorf("line %d of the ledger is open: %+v", i+1, a)
		}
		if a.Reason == fetch.Again && a.WaitReason == "" {
			t.Errorf("attempt %d says nothing of why it was made", a.Number)
		}
	}
	if f := fault.From(err); err != nil && res.Attempts[len(res.Attempts)-1].Err != nil && f.Kind != res.Attempts[len(res.Attempts)-1].Err.Kind {
		t.Errorf("the call failed with %s and its last attempt with %s", f.Kind, res.Attempts[len(res.Attempts)-1].Err.Kind)
	}
}

// openAndRead makes a stream of the call and reads it to its end.
func openAndRead(t *testing.T, e *fetch.Engine, req *fetch.Request) (*fetch.Response, error) {
	t.Helper()
	live, tried, err := e.Open(t.Context(), req)
	if err != nil {
		return tried, err
	}
	_, err = io.Copy(io.Discard, live)
	return live.End(), err
}

var reasons = map[fetch.Reason]string{fetch.First: "first", fetch.Again: "again", fetch.Resend: "resend"}

// told is the call's story, as row.want has it.
func told(res *fetch.Response, err error) string {
	var b strings.Builder
	for _, a := range res.Attempts {
		b.WriteString(reasons[a.Reason] + " ")
		switch {
		case a.Err == nil:
			fmt.Fprintf(&b, "%d ", a.Status)
		case a.Wire == fault.Unsent:
			b.WriteString(string(a.Err.Kind) + " ")
		default:
			b.WriteString(string(a.Err.Kind) + "? ")
		}
	}
	if err != nil {
		return b.String() + "= " + string(fault.From(err).Kind)
	}
	return fmt.Sprintf("%s= %d", b.String(), res.Status)
}

// TestFaults runs the table.
func TestFaults(t *testing.T) {
	w := &world{ca: testpeer.NewCA(t), toxic: startToxiproxy(t), names: newNameserver(t)}
	all := slices.Concat(bodyRows(), toxicRows())
	for _, r := range slices.Concat(connectRows(), headRows(), answerRows(), uploadRows(), tlsRows(), http2Rows(), nameRows()) {
		all = append(all, r) // up to the head, both doors are one
		r.name, r.open = r.name+", stream", true
		all = append(all, r)
	}
	streams := 0
	for _, r := range all {
		if r.open {
			streams++
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			r.run(t, w)
		})
	}
	t.Logf("%d rows, %d of them streams", len(all), streams)
}
