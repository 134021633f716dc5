package ssrftest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// portsPolicy names the ports of two hosts, and those of the others by leaving
// them out.
const portsPolicy = `
upstreams:
  - name: default
    hosts: [door.test, "*.door.test"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.99.0.1]
  - name: named
    hosts: ["named.test:PORT"]
    schemes: [http]
    unsafe_allow_addresses: [127.99.0.1]
  - name: both
    hosts: ["both.test:PORT", both.test]
    schemes: [http, https]
    unsafe_allow_addresses: [127.99.0.1]
`

// TestPortsThatPolicyNames: a call reaches no port that no pattern of its upstream
// names; a pattern without one names the scheme's own alone. It is denied before
// the name is resolved, and so is a redirect.
func TestPortsThatPolicyNames(t *testing.T) {
	var reached atomic.Int64
	_, other, _ := net.SplitHostPort(serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }), nil))
	_, port, _ := net.SplitHostPort(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Door", r.Host)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}), nil))
	w := newWorldOf(t, strings.ReplaceAll(portsPolicy, "PORT", port))
	for _, host := range []string{"named.test", "both.test", "sub.door.test", "door.test"} {
		w.names.set(host, []string{openAddress})
	}
	for _, host := range []string{"named.test", "both.test"} {
		if got, err := w.do(t, "http://"+at(host, port)+"/"); got != safe {
			t.Fatalf("the port that policy names of %s is %s: %v", host, got, err)
		}
	}
	denied := func(url string) {
		t.Helper()
		req, err := request(url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.engine.Do(t.Context(), req); !errors.Is(err, fault.PolicyDenied) {
			t.Errorf("%s: got %v, want POLICY_DENIED", url, err)
		}
	}
	asked := w.names.asked.Load()
	for _, p := range []string{port, other} {
		for _, url := range []string{"http://door.test", "https://door.test", "http://sub.door.test", "https://both.test"} {
			if p == other || !strings.Contains(url, "both") {
				denied(url + ":" + p + "/")
			}
		}
	}
	denied("http://" + at("named.test", other) + "/")
	denied("http://named.test/") // its port is another
	denied("https://named.test/")
	denied("https://" + at("named.test", port) + "/") // its scheme is another
	denied("http://door.test:443/")                   // the default of another scheme
	denied("https://door.test:80/")
	for p := range 65536 {
		if p == 0 || p > 1024 && p%61 != 0 && p != 6379 && p != 8080 && p != 11211 {
			continue
		}
		if p != 80 {
			denied(fmt.Sprintf("http://door.test:%d/", p))
		}
		if p != 443 {
			denied(fmt.Sprintf("https://sub.door.test:%d/", p))
		}
	}
	if n := w.names.asked.Load(); n != asked {
		t.Errorf("names of denied calls were resolved, %d times", n-asked)
	}
	for _, to := range []string{"http://" + at("named.test", other), "http://" + at("both.test", other), "http://" + at("door.test", other), "//" + at("named.test", other)} {
		denied("http://" + at("named.test", port) + "/?to=" + to)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("a port that no pattern names was reached %d times", n)
	}
	for _, url := range []string{"http://door.test/", "https://sub.door.test:443/", "http://both.test:80/"} { // what listens there is not ours to say
		asked = w.names.asked.Load()
		req, err := request(url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.engine.Do(t.Context(), req); errors.Is(err, fault.PolicyDenied) || w.names.asked.Load() == asked {
			t.Errorf("%s: got %v, want it to be resolved and tried", url, err)
		}
	}
}
