package ssrftest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/server"
)

// doors are the service's own, in front of a world's engine.
type doors struct {
	rest string // host:port
	api  fetchsvcv1.FetchServiceClient
}

func openDoors(t *testing.T, w *world) doors {
	t.Helper()
	srv, err := server.New(server.Config{Engine: w.engine, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listeners[0], listeners[1]) }()
	conn, err := grpc.NewClient(listeners[0].Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return doors{listeners[1].Addr().String(), fetchsvcv1.NewFetchServiceClient(conn)}
}

// attempted are URLs whose refusal each door must give.
func attempted(w *world) (all []attack) {
	addr := netip.MustParseAddr("127.0.0.1")
	good, odd := canonicalSpellings(addr), oddSpellings(addr)
	for _, name := range slices.Sorted(maps.Keys(good)) {
		all = append(all, attack{name, "http://" + good[name] + ":" + w.port + "/", refused})
	}
	for _, name := range slices.Sorted(maps.Keys(odd)) {
		all = append(all, attack{name, "http://" + odd[name] + ":" + w.port + "/", malformed})
	}
	for _, host := range []string{"localhost", "[::1]", "[::]", "0.0.0.0", "169.254.169.254", "metadata.google.internal", "inside.test"} {
		all = append(all, attack{host, "http://" + host + ":" + w.port + "/", refused}, attack{host, "https://" + host + ":" + w.port + "/", refused})
	}
	all = append(all,
		attack{"credentials in the URL", "http://user:pass@127.0.0.1:" + w.port + "/", malformed},
		attack{"another host as credentials", "http://" + w.open + "@127.0.0.1:" + w.port + "/", malformed},
		attack{"redirect", "http://" + w.open + "/to?status=307&location=http://127.0.0.1:" + w.port + "/", refused})
	return all
}

// reasons are the outcomes as the API says them.
var reasons = map[string]outcome{"ADDRESS_DENIED": refused, "INVALID_REQUEST": malformed, "OK": safe} // the last is a status line's

// ofReason gives the outcome of an error's reason.
func ofReason(reason string) outcome {
	if o, known := reasons[reason]; known {
		return o
	}
	return outcome(reason)
}

func ofStatus(st *status.Status) outcome {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return ofReason(info.GetReason())
		}
	}
	return outcome(st.Code().String() + " " + st.Message())
}

var reasonField = regexp.MustCompile(`"reason": ?"([A-Z_]+)"`)

// post sends JSON to the REST door and gives the outcome that the answer says.
func (d doors) post(t *testing.T, path string, in any) outcome {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	text := d.say(t, path, string(body))
	m := reasonField.FindStringSubmatch(text)
	switch {
	case m != nil:
		return ofReason(m[1])
	case strings.Contains(text, `"X-Door"`):
		return safe
	}
	return outcome(text)
}

func (d doors) say(t *testing.T, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.rest+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return string(text)
}

// TestDoors: what is refused is refused at each door, in each of its ways.
func TestDoors(t *testing.T) {
	w := newWorld(t)
	w.names.set("inside.test", []string{"10.0.0.1"})
	d := openDoors(t, w)
	all := attempted(w)
	ways := map[string]func(url string) outcome{
		"REST fetch": func(url string) outcome { return d.post(t, "/v1/fetch", map[string]any{"url": url}) },
		"REST stream": func(url string) outcome {
			return d.post(t, "/v1/stream", map[string]any{"start": map[string]any{"url": url}})
		},
		"gRPC fetch": func(url string) outcome {
			_, err := d.api.Fetch(t.Context(), &fetchsvcv1.FetchRequest{Url: url})
			return ofStatusOf(err)
		},
		"gRPC stream": func(url string) outcome {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			st, err := d.api.Stream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_ = st.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: &fetchsvcv1.FetchRequest{Url: url}}})
			_, err = st.Recv()
			return ofStatusOf(err)
		},
	}
	n := 0
	for name, way := range ways {
		if got := way("http://" + w.open + "/"); got != safe {
			t.Errorf("%s: the open door is %q", name, got)
		}
		for _, a := range all {
			n++
			if got := way(a.url); got != a.want {
				t.Errorf("%s, %s: %q is %s, want %s", name, a.name, a.url, got, a.want)
			}
			if heard := w.take(); len(heard) > 0 {
				t.Errorf("%s, %s: %q reached %v", name, a.name, a.url, heard)
			}
		}
	}
	w.silent(t)
	t.Logf("%d attacks", n)
}

func ofStatusOf(err error) outcome {
	if err == nil {
		return safe
	}
	st, _ := status.FromError(err)
	return ofStatus(st)
}

// TestBatches: in a batch, each item is refused by itself.
func TestBatches(t *testing.T) {
	w := newWorld(t)
	w.names.set("inside.test", []string{"10.0.0.1"})
	d := openDoors(t, w)
	all := append(attempted(w), attack{"open", "http://" + w.open + "/", safe})
	in := &fetchsvcv1.FetchBatchRequest{}
	var items []map[string]any
	for _, a := range all {
		in.Requests = append(in.Requests, &fetchsvcv1.FetchRequest{Url: a.url})
		items = append(items, map[string]any{"url": a.url})
	}
	st, err := d.api.FetchBatch(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for {
		m, err := st.Recv()
		if err != nil {
			if err != io.EOF {
				t.Errorf("the batch ended with %v", err)
			}
			break
		}
		seen++
		got := safe
		if m.GetError() != nil {
			got = ofStatus(status.FromProto(m.GetError()))
		}
		if a := all[m.GetIndex()]; got != a.want {
			t.Errorf("gRPC, %s: %q is %s, want %s", a.name, a.url, got, a.want)
		}
	}
	body, err := json.Marshal(map[string]any{"requests": items})
	if err != nil {
		t.Fatal(err)
	}
	overREST := strings.Split(strings.TrimSpace(d.say(t, "/v1/fetch:batch", string(body))), "\n")
	index := regexp.MustCompile(`"index": ?(\d+)`)
	for _, line := range overREST {
		var i int
		m := index.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("REST: no item: %.300s", line)
		}
		_, _ = fmt.Sscan(m[1], &i)
		got := safe
		if r := reasonField.FindStringSubmatch(line); r != nil && !strings.Contains(line, `"response"`) {
			got = ofReason(r[1])
		}
		if got != all[i].want {
			t.Errorf("REST, %s: %q is %s, want %s", all[i].name, all[i].url, got, all[i].want)
		}
	}
	if seen != len(all) || len(overREST) != len(all) {
		t.Errorf("of %d items %d came by gRPC and %d by REST", len(all), seen, len(overREST))
	}
	w.silent(t)
}

// TestDoorsAreNoProxies: the REST door forwards nothing, whatever the request
// line, Host and the headers of proxies say.
func TestDoorsAreNoProxies(t *testing.T) {
	w := newWorld(t)
	d := openDoors(t, w)
	trapAt := "127.0.0.1:" + w.port
	for name, head := range map[string]string{
		"absolute form":         "GET http://TRAP/ HTTP/1.1\r\nHost: TRAP\r\n",
		"absolute form, door":   "GET http://TRAP/ HTTP/1.1\r\nHost: REST\r\n",
		"absolute form, https":  "GET https://TRAP/ HTTP/1.1\r\nHost: REST\r\n",
		"absolute form, API":    "POST http://TRAP/v1/fetch HTTP/1.1\r\nHost: REST\r\nContent-Length: 2\r\n",
		"CONNECT":               "CONNECT TRAP HTTP/1.1\r\nHost: TRAP\r\n",
		"CONNECT, door":         "CONNECT TRAP HTTP/1.1\r\nHost: REST\r\n",
		"Host":                  "GET / HTTP/1.1\r\nHost: TRAP\r\n",
		"X-Forwarded-Host":      "GET /v1/fetch HTTP/1.1\r\nHost: REST\r\nX-Forwarded-Host: TRAP\r\n",
		"Forwarded":             "GET /v1/fetch HTTP/1.1\r\nHost: REST\r\nForwarded: host=TRAP\r\n",
		"X-Original-URL":        "GET /healthz HTTP/1.1\r\nHost: REST\r\nX-Original-URL: http://TRAP/\r\n",
		"scheme-relative":       "GET //TRAP/ HTTP/1.1\r\nHost: REST\r\n",
		"authority in the path": "GET @TRAP/ HTTP/1.1\r\nHost: REST\r\n",
	} {
		head = strings.NewReplacer("TRAP", trapAt, "REST", d.rest).Replace(head)
		c, err := net.Dial("tcp", d.rest)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(c, head+"Connection: close\r\n\r\n{}")
		answer, _ := bufio.NewReader(c).ReadBytes('\n')
		if bytes.HasPrefix(answer, []byte("HTTP/1.1 2")) && name != "X-Original-URL" || len(answer) == 0 {
			t.Errorf("%s: the door answers %q", name, answer)
		}
		_ = c.Close()
	}
	w.silent(t)
}
