package ssrftest

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/egress"
)

// TestTrapsHear: silence means something.
func TestTrapsHear(t *testing.T) {
	w := newWorld(t)
	hosts := []string{"127.0.0.1", "::1"}
	if everywhere() {
		hosts = append(hosts, "10.0.0.1", "169.254.169.254", "192.168.0.1", "8.8.8.8", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2600::1")
	}
	for _, host := range hosts {
		c, err := net.DialTimeout("tcp", at(host, w.port), 5*time.Second)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		_, _ = c.Read(make([]byte, 1)) // until the trap has counted it
		_ = c.Close()
		if heard := w.take(); len(heard) != 1 {
			t.Errorf("%s was dialled and the trap heard %v", host, heard)
		}
	}
	opened := newWorldOf(t, strings.Replace(policyText, "  - name: door", "    unsafe_allow_addresses: [127.0.0.0/8]\n  - name: door", 1))
	req, err := request("http://" + at("127.0.0.1", opened.port) + "/")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = opened.engine.Do(t.Context(), req)
	if len(opened.take()) == 0 {
		t.Error("a call to an opened address does not arrive at its trap")
	}
	if got, err := w.do(t, "http://"+w.open+"/"); got != safe {
		t.Errorf("the open door is %s: %v", got, err)
	}
	if got, err := w.do(t, "https://"+w.secure+"/"); got != safe {
		t.Errorf("the open door in TLS is %s: %v", got, err)
	}
}

// TestSpellings: every form and spelling of every forbidden IPv4 address.
func TestSpellings(t *testing.T) {
	w := newWorld(t)
	var all []attack
	for _, s := range fours {
		addr := netip.MustParseAddr(s)
		for name, host := range canonicalSpellings(addr) {
			all = append(all, attack{s + " " + name, "http://" + host + ":" + w.port + "/", refused})
		}
		for name, host := range oddSpellings(addr) {
			all = append(all, attack{s + " " + name, "http://" + host + ":" + w.port + "/", malformed})
		}
		all = append(all, attack{s + " by https", "https://" + s + ":" + w.port + "/", refused})
	}
	if len(all) < 2000 {
		t.Errorf("there are %d attacks", len(all))
	}
	w.run(t, all)
}

// TestSixes: every special range of IPv6.
func TestSixes(t *testing.T) {
	w := newWorld(t)
	var all []attack
	for _, s := range sixes {
		addr := netip.MustParseAddr(s)
		for name, c := range map[string]struct {
			host string
			want outcome
		}{
			"plain":         {"[" + s + "]", refused},
			"in full":       {"[" + addr.StringExpanded() + "]", refused},
			"upper case":    {"[" + strings.ToUpper(addr.StringExpanded()) + "]", refused},
			"encoded":       {"[" + strings.ReplaceAll(s, ":", "%3A") + "]", refused},
			"zone":          {"[" + s + "%25lo]", malformed},
			"zone, raw":     {"[" + s + "%lo]", malformed},
			"zone, number":  {"[" + s + "%251]", malformed},
			"zone, empty":   {"[" + s + "%25]", malformed},
			"no brackets":   {s, malformed},
			"open bracket":  {"[" + s, malformed},
			"end bracket":   {s + "]", malformed},
			"two brackets":  {"[[" + s + "]]", malformed},
			"trailing dot":  {"[" + s + "].", malformed},
			"inner dot":     {"[" + s + ".]", malformed},
			"a name behind": {"[" + s + "].door.test", malformed},
			"a name before": {"door.test[" + s + "]", malformed},
			"full-width":    {"[" + digits(s, run10('０')) + "]", malformed},
			"five digits":   {"[0" + addr.StringExpanded() + "]", malformed},
			"NUL":           {"[" + s + "%00]", malformed},
			"a prefix":      {"[" + s + "%2f64]", malformed},
			"IPvFuture":     {"[v1." + s + "]", malformed},
		} {
			if name != "plain" && c.host == "["+s+"]" {
				continue // :: has no digits
			}
			all = append(all, attack{s + " " + name, "http://" + c.host + ":" + w.port + "/", c.want})
		}
	}
	w.run(t, all)
}

// TestTricks: URLs that name two hosts, or none to some readers.
func TestTricks(t *testing.T) {
	w := newWorld(t)
	trapAt := "127.0.0.1:" + w.port
	var all []attack
	for url, want := range map[string]outcome{
		"http://TRAP@DOOR/":                        malformed,
		"http://DOOR@TRAP/":                        malformed,
		"http://user:pass@TRAP/":                   malformed,
		"http://@TRAP/":                            malformed,
		"http://:@TRAP/":                           malformed,
		"http://DOOR:@TRAP/":                       malformed,
		"http://DOOR#@TRAP/":                       safe,
		"http://DOOR?@TRAP/":                       safe,
		"http://DOOR/@TRAP/":                       safe,
		"http://DOOR/\\TRAP/":                      safe,
		"http://DOOR//TRAP/":                       safe,
		"http://DOOR/%0d%0aHost:%20a/":             safe,
		"http://DOOR/?url=http://TRAP/":            safe,
		"http://DOOR;@TRAP/":                       malformed,
		"http://DOOR\\@TRAP/":                      malformed,
		"http://DOOR\\TRAP/":                       malformed,
		"http://TRAP\\@DOOR/":                      malformed,
		"http://DOOR%23@TRAP/":                     malformed,
		"http://DOOR%2f@TRAP/":                     malformed,
		"http://DOOR%2fTRAP/":                      malformed,
		"http://DOOR&@TRAP# @DOOR/":                malformed,
		"http://TRAP#@DOOR/":                       refused,
		"http://TRAP?@DOOR/":                       refused,
		"http://TRAP/@DOOR/":                       refused,
		"http://DOOR\tTRAP/":                       malformed,
		"http://DOOR\r\nTRAP/":                     malformed,
		"http://DOOR TRAP/":                        malformed,
		" http://TRAP/":                            malformed,
		"\x00http://TRAP/":                         malformed,
		"ht\ntp://TRAP/":                           malformed,
		"http:TRAP/":                               malformed,
		"http:/TRAP/":                              malformed,
		"http:///TRAP/":                            malformed,
		"http:////TRAP/":                           malformed,
		"//TRAP/":                                  malformed,
		"\\\\TRAP\\":                               malformed,
		"http:\\\\TRAP/":                           malformed,
		"http:/\\TRAP/":                            malformed,
		"TRAP":                                     malformed,
		"TRAP/":                                    malformed,
		"hTTp://TRAP/":                             refused,
		"HTTPS://TRAP/":                            refused,
		"ｈttp://TRAP/":                             malformed,
		"url:http://TRAP/":                         malformed,
		"file://TRAP/":                             malformed,
		"ftp://TRAP/":                              malformed,
		"gopher://TRAP/":                           malformed,
		"dict://TRAP/":                             malformed,
		"ldap://TRAP/":                             malformed,
		"ws://TRAP/":                               malformed,
		"jar:http://TRAP/!/":                       malformed,
		"http+unix://TRAP/":                        malformed,
		"unix:/var/run/docker.sock":                malformed,
		"file:///etc/passwd":                       malformed,
		"javascript://TRAP/":                       malformed,
		"http://TRAP:80/":                          malformed,
		"http://127.0.0.1:80:PORT/":                malformed,
		"http://127.0.0.1:+PORT/":                  malformed,
		"http://127.0.0.1:０/":                      malformed,
		"http://127.0.0.1:0PORT/":                  refused,
		"http://127.0.0.1:PORT%20/":                malformed,
		"http://127.0.0.1:/":                       refused,
		"http://[::]:PORT/":                        refused,
		"http://[::]/":                             refused,
		"http://[::1]:PORT@DOOR/":                  malformed,
		"http://[::1]PORT/":                        malformed,
		"http://[DOOR]/":                           malformed,
		"http://[]:PORT/":                          malformed,
		"http://:PORT/":                            malformed,
		"http://.:PORT/":                           malformed,
		"http://0:PORT/":                           malformed,
		"http://0x:PORT/":                          malformed,
		"http://0.0:PORT/":                         malformed,
		"http://localhost:PORT/":                   refused,
		"http://LOCALHOST:PORT/":                   refused,
		"http://localhost.:PORT/":                  refused,
		"http://lo%63alhost:PORT/":                 refused,
		"http://%6c%6f%63%61%6c%68%6f%73%74:PORT/": refused,
		"http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/":                   refused,
		"http://ｌｏｃａｌｈｏｓｔ:PORT/":                   refused,
		"http://local\u00adhost:PORT/":             refused,
		"http://localho\u017ft:PORT/":              refused, // ſ is s to IDNA
		"http://\u2113ocalhost:PORT/":              refused, // ℓ is l
		"http://localhost.localdomain:PORT/":       refused,
		"http://localhost..:PORT/":                 malformed,
		"http://.localhost:PORT/":                  malformed,
		"http://local_host\\:PORT/":                malformed,
		"http://metadata.google.internal/":         refused,
		"http://METADATA.GOOGLE.INTERNAL./computeMetadata/v1/":          refused,
		"http://metadata。google。internal/":                              refused,
		"http://ⓜetadata.goog/":                                         refused,
		"http://instance-data/latest/meta-data/":                        refused,
		"http://instance-data.ec2.internal/latest/meta-data/":           refused,
		"http://instance-data.us-east-1.compute.internal/":              refused,
		"http://metadata.tencentyun.com/":                               refused,
		"http://rancher-metadata/":                                      refused,
		"http://169.254.169.254.:80/latest/meta-data/":                  refused,
		"http://[::ffff:169.254.169.254]/latest/meta-data/":             refused,
		"http://127.0.0.1\u2044@DOOR/":                                  malformed,
		"http://127.0.0.1\u2100DOOR/":                                   malformed, // ℀ maps to a/c
		"http://127.0.0.1\uff0f.door.test/":                             malformed, // a full-width slash
		"http://127.0.0.1\uff03.door.test/":                             malformed, // a full-width hash
		"http://127.0.0.1\uff20DOOR/":                                   malformed, // a full-width at
		"http://DOOR\uff1fTRAP/":                                        malformed, // a full-width question mark
		"http://127.0.0.1\uff1aPORT/":                                   malformed, // a full-width colon
		"http://a\u2135.DOOR/":                                          malformed, // alef maps to a name that is none
		"http://xn--127-0.0.0.1:PORT/":                                  malformed,
		"http://xn--:PORT/":                                             malformed,
		"http://" + strings.Repeat("a", 64) + ":PORT/":                  malformed,
		"http://" + strings.Repeat("a.", 200) + "127.0.0.1:PORT/":       malformed,
		"http://" + percent("127.0.0.1") + ":" + percent("80") + "/":    malformed,
		"http://127.0.0.1" + strings.Repeat("%2e", 2) + ":PORT/":        malformed,
		"http://" + strings.Repeat("0", 300) + "127.0.0.1:PORT/":        malformed,
		"http://[0:0:0:0:0:0:0:0:1]:PORT/":                              malformed,
		"http://[::ffff:0x7f.0.0.1]:PORT/":                              malformed,
		"http://[::ffff:127.1]:PORT/":                                   malformed,
		"http://[::ffff:0127.0.0.1]:PORT/":                              malformed,
		"http://[0000:0000:0000:0000:0000:FFFF:7F00:0001]:PORT/a?b#c@d": refused,
	} {
		url = strings.NewReplacer("TRAP", trapAt, "DOOR", w.open, "PORT", w.port).Replace(url)
		all = append(all, attack{"trick", url, want})
	}
	w.run(t, all)
}

// TestNames: names that resolve to each form of each forbidden address.
func TestNames(t *testing.T) {
	w := newWorld(t)
	var all []attack
	for _, s := range append(append([]string{}, fours...), sixes...) {
		forms := []netip.Addr{netip.MustParseAddr(s)}
		if forms[0].Is4() {
			forms = append(forms, embedded(forms[0])...)
		}
		for _, addr := range forms {
			host := "n" + strings.NewReplacer(".", "-", ":", "x").Replace(addr.String()) + "n.test"
			w.names.set(host, []string{addr.String()})
			for _, scheme := range []string{"http", "https"} {
				all = append(all, attack{addr.String(), scheme + "://" + host + ":" + w.port + "/", refused})
			}
			inDoor := strings.TrimSuffix(host, "test") + "door.test" // where policy opens another address
			w.names.set(inDoor, []string{addr.String()})
			all = append(all, attack{addr.String(), "http://" + inDoor + ":" + w.port + "/", refused})
		}
	}
	w.run(t, all)
}

// TestMixedAnswers: one bad answer is enough, wherever it stands.
func TestMixedAnswers(t *testing.T) {
	w := newWorld(t)
	_, port, _ := net.SplitHostPort(w.open)
	var all []attack
	for i, bad := range []string{"127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%lo", "0.0.0.0"} {
		for j, answer := range [][]string{
			{openAddress, bad}, {bad, openAddress}, {openAddress, openAddress, openAddress, bad}, {bad, bad}, {openAddress, bad, openAddress},
			{"::ffff:" + openAddress, bad},
		} {
			host := "m" + string(rune('a'+i)) + string(rune('a'+j)) + ".door.test"
			w.names.set(host, answer)
			for _, p := range []string{port, w.port} {
				all = append(all, attack{strings.Join(answer, " "), "http://" + at(host, p) + "/", refused})
			}
		}
	}
	w.run(t, all)
}

// TestOwnListeners: the service's own doors are no upstream, although policy
// opened loopback.
func TestOwnListeners(t *testing.T) {
	var mine []netip.AddrPort
	text := strings.ReplaceAll(policyText, "  - name: door", "    unsafe_allow_addresses: [0.0.0.0/0, \"::/0\"]\n  - name: door")
	w := newWorldOf(t, text, func(c *egress.Config) { c.Own = func() []netip.AddrPort { return mine } })
	for _, listen := range []string{"127.0.0.1", "0.0.0.0", "::"} {
		port, err := net.LookupPort("tcp", w.port)
		if err != nil {
			t.Fatal(err)
		}
		mine = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(listen), uint16(port))}
		w.names.set("me.test", []string{"127.0.0.1"})
		var all []attack
		for _, host := range []string{"127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "localhost", "me.test", "①②⑦.0.0.1"} {
			for _, scheme := range []string{"http", "https"} {
				all = append(all, attack{"listening on " + listen, scheme + "://" + host + ":" + w.port + "/v1/fetch", refused})
			}
		}
		w.run(t, all)
	}
}
