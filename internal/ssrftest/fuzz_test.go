package ssrftest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// fuzzPolicy has a rule of each kind.
const fuzzPolicy = `
upstreams:
  - {name: exact, hosts: ["api.example.com", "127.0.0.1", "[2001:db8::1]", "xn--bcher-kva.example"], schemes: [http, https]}
  - {name: below, hosts: ["*.example.com", "*.internal"], schemes: [http], unsafe_allow_addresses: [10.0.0.0/8]}
  - {name: ported, hosts: ["*:8443"], schemes: [https]}
  - {name: rest, hosts: ["*.example", "*.test:*", "localhost:*"], schemes: [http, https], unsafe_allow_addresses: [127.0.0.0/8]}
`

// byHash resolves each name to addresses that depend on nothing but its spelling:
// two spellings that reach it get two verdicts.
type byHash struct{}

func (byHash) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(host))
	all := []string{"8.8.8.8", "127.0.0.1", "10.0.0.1", "169.254.169.254", "2600::1", "::1", "64:ff9b::808:808"}
	sum := h.Sum64()
	return []netip.Addr{netip.MustParseAddr(all[sum%7]), netip.MustParseAddr(all[sum/7%7])}, nil
}

// judge is everything that decides where a URL goes.
type judge struct {
	snapshot *policy.Snapshot
	pools    *egress.Pools
}

// verdict says what becomes of a URL, and under which host.
func (j judge) verdict(url string) string {
	u, err := target.Parse(url)
	if err != nil {
		return string(malformed)
	}
	wire := u.HTTP()
	seen := u.Scheme + " " + u.DialAddr() + " Host " + u.HostPort() + " URL " + wire.Host
	up, err := j.snapshot.Match(u)
	if err != nil {
		return seen + ": no upstream"
	}
	verdicts, err := j.pools.Judge(context.Background(), up, u.Host.Name)
	if err != nil {
		var f *fault.Error
		errors.As(err, &f)
		return seen + ": " + up.Name + ": " + string(f.Kind)
	}
	for _, v := range verdicts {
		seen += " " + v.Addr.String() + " " + v.Reason
	}
	return seen + ": " + up.Name
}

// respell writes a host otherwise; every way is one that IDNA, RFC 3986 or DNS
// holds to be the same host.
func respell(host string, random *rand.Rand) string {
	brackets := strings.HasPrefix(host, "[")
	if brackets {
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil {
			return host
		}
		return "[" + []string{host[1 : len(host)-1], addr.StringExpanded(), strings.ToUpper(addr.StringExpanded()), strings.ReplaceAll(host[1:len(host)-1], ":", "%3a")}[random.IntN(4)] + "]"
	}
	var b strings.Builder
	for _, r := range host {
		switch n := random.IntN(8); {
		case r >= 'a' && r <= 'z' && n == 0:
			b.WriteRune(r - 'a' + 'A')
		case r >= 'a' && r <= 'z' && n == 1:
			b.WriteRune(r - 'a' + 'ⓐ')
		case r >= '!' && r <= '~' && r != '_' && n == 2:
			b.WriteRune(r - '!' + '！') // the full-width forms
		case r >= '0' && r <= '9' && n == 3:
			b.WriteRune(r - '0' + '𝟎')
		case r == '.' && n == 4:
			b.WriteRune([]rune("。．｡")[random.IntN(3)])
		case n == 5:
			b.WriteString(percent(string(r)))
		case n == 6:
			b.WriteString(string(r) + "\u00ad") // a soft hyphen is nothing
		default:
			b.WriteRune(r)
		}
	}
	if random.IntN(4) == 0 {
		b.WriteString(".")
	}
	return b.String()
}

// FuzzVerdict: policy and guard see one host in all spellings of it, or none.
func FuzzVerdict(f *testing.F) {
	snapshot, err := policy.Parse("fuzz.yaml", []byte(fuzzPolicy), policy.Options{})
	if err != nil {
		f.Fatal(err)
	}
	pools := egress.NewPools(egress.Config{Resolver: byHash{}})
	f.Cleanup(pools.Close)
	j := judge{snapshot, pools}
	for i, host := range []string{"api.example.com", "b.example.com", "127.0.0.1", "[2001:db8::1]", "[::ffff:127.0.0.1]", "bücher.example", "localhost",
		"x.test", "db.internal", "metadata.google.internal", "a_b.example", "0x7f.1", "2130706433", "xn--bcher-kva.example", "ßa.example", "a-b.example", "10.0.0.1"} {
		f.Add(host, uint64(i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, host string, seed uint64, secure bool) {
		scheme, port := "http://", ":80"
		if secure {
			scheme, port = "https://", ":443"
		}
		if strings.ContainsAny(host, "/?#@%:\\ ") && !strings.HasPrefix(host, "[") || strings.ContainsAny(host, "/?#@") {
			return // is more than a host
		}
		want := j.verdict(scheme + host + "/")
		random := rand.New(rand.NewPCG(seed, 1))
		for range 20 {
			spelled := respell(host, random)
			url := scheme + spelled + []string{"", port, ":", ":0" + port[1:]}[random.IntN(4)] + "/"
			got := j.verdict(url)
			if got == string(malformed) {
				continue // the stricter reading: nothing goes anywhere
			}
			if want == string(malformed) {
				// The plain spelling is refused, so nothing that is accepted may stand for it.
				if u, err := target.Parse(url); err == nil && strings.EqualFold(strings.TrimSuffix(host, "."), u.Host.Name) {
					t.Fatalf("%q is malformed, and %q is taken for it: %s", host, url, got)
				}
				continue
			}
			if got != want {
				t.Fatalf("%q is\n  %s\nand %q is\n  %s", host, want, url, got)
			}
		}
	})
}

// TestRespellingsAreAccepted: the fuzz target compares more than refusals.
func TestRespellingsAreAccepted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, host := range []string{"api.example.com", "127.0.0.1", "[2001:db8::1]", "localhost", "bücher.example"} {
		accepted, others := 0, map[string]bool{}
		for range 200 {
			spelled := respell(host, random)
			others[spelled] = true
			if _, err := target.Parse("http://" + spelled + "/"); err == nil {
				accepted++
			}
		}
		if accepted < 150 || len(others) < 3 {
			t.Errorf("%s: of %d spellings %d are accepted", host, len(others), accepted)
		}
	}
}
