package ssrftest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// TestProxiesAreAskedForNothingForbidden: the target is judged before the proxy
// is so much as dialled, by CONNECT and by SOCKS.
func TestProxiesAreAskedForNothingForbidden(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			proxy := newTrap(t) // speaks nothing: who reaches it is heard
			text := strings.Replace(policyText, "  - name: door", `    proxy: {url: "`+scheme+`://127.0.0.1:`+proxy.port+`"}
  - name: public
    hosts: ["public.example:*"]
    schemes: [http]
    proxy: {url: "`+scheme+`://127.0.0.1:`+proxy.port+`"}
  - name: door`, 1)
			w := newWorldOf(t, text)
			w.names.set("inside.test", []string{"10.0.0.1"})
			w.names.set("mixed.test", []string{"8.8.8.8", "127.0.0.1"})
			w.names.set("public.example", []string{"8.8.8.8"})
			var all []attack
			for _, s := range fours {
				addr := netip.MustParseAddr(s)
				for name, host := range canonicalSpellings(addr) {
					all = append(all, attack{s + " " + name, "http://" + host + ":" + w.port + "/", refused})
				}
				all = append(all, attack{s, "https://" + s + ":" + w.port + "/", refused})
			}
			for _, s := range sixes {
				all = append(all, attack{s, "http://[" + s + "]:" + w.port + "/", refused})
			}
			for _, host := range []string{"inside.test", "mixed.test", "localhost", "metadata.google.internal", "instance-data"} {
				all = append(all, attack{host, "http://" + host + "/", refused}, attack{host, "https://" + host + "/", refused})
			}
			w.run(t, all)
			proxy.silent(t)
			req, err := request("http://public.example/")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.engine.Do(t.Context(), req); err == nil || errors.Is(err, fault.AddressDenied) {
				t.Errorf("a public target: got %v, want that the proxy fails", err)
			}
			if len(proxy.take()) == 0 {
				t.Error("the proxy is not used: the test shows nothing")
			}
		})
	}
}

// TestProxyOfACall: a proxy that a call names is judged as its upstream's
// addresses are.
func TestProxyOfACall(t *testing.T) {
	w := newWorld(t)
	w.names.set("proxy.test", []string{"127.0.0.1"})
	n := 0
	for _, scheme := range []string{"http", "https", "socks5"} {
		for _, host := range []string{"127.0.0.1", "localhost", "proxy.test", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "10.0.0.1", "169.254.169.254",
			"metadata.google.internal", "[64:ff9b::7f00:1]", "2130706433", "0x7f.1", "①②⑦.0.0.1", "door.test@127.0.0.1", "127.0.0.1#door.test", "[fe80::1%25lo]"} {
			n++
			px, err := egress.ParseProxy(scheme + "://" + host + ":" + w.port)
			if err != nil {
				continue // refused as malformed
			}
			req, err := request("http://" + w.open + "/")
			if err != nil {
				t.Fatal(err)
			}
			req.Connection = &egress.Override{Proxy: px}
			if _, err := w.engine.Do(t.Context(), req); !errors.Is(err, fault.AddressDenied) {
				t.Errorf("%s://%s: got %v, want ADDRESS_DENIED", scheme, host, err)
			}
			if heard := w.take(); len(heard) > 0 {
				t.Errorf("%s://%s was reached: %v", scheme, host, heard)
			}
		}
	}
	w.silent(t)
	t.Logf("%d proxies", n)
}

// TestEnvironmentIsNotAsked: no variable puts a proxy in the way unless policy
// says so.
func TestEnvironmentIsNotAsked(t *testing.T) {
	canary := newTrap(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+canary.port)
	}
	t.Setenv("NO_PROXY", "")
	w := newWorld(t)
	w.run(t, []attack{
		{"plain", "http://" + w.open + "/", safe},
		{"TLS", "https://" + w.secure + "/", safe},
		{"forbidden", "http://127.0.0.1:" + w.port + "/", refused},
	})
	canary.silent(t)
}
