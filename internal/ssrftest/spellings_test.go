package ssrftest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// fours are forbidden IPv4 addresses: each special range, and each metadata
// service.
var fours = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.254", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.0.0.2",
	"127.255.255.254", "169.254.1.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.254", "192.0.0.1",
	"192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.254",
	"192.175.48.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
	"255.255.255.255", "168.63.129.16",
}

// sixes are forbidden IPv6 addresses without IPv4 inside.
var sixes = []string{
	"::", "::1", "::2", "100::1", "100:0:0:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
	"2620:4f:8000::1", "3fff::1", "5f00::1", "4000::1", "1000::1", "fc00::1", "fd12:3456::1", "fd00:ec2::254",
	"fd20:ce::254", "fe80::1", "fec0::1", "ff02::1",
}

// digits spells the digits of s in another script whose digits IDNA maps to ours.
func digits(s string, of [10]rune) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return of[r-'0']
		}
		return r
	}, s)
}

func run10(zero rune) (of [10]rune) {
	for i := range of {
		of[i] = zero + rune(i)
	}
	return of
}

// percent encodes every byte.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// canonicalSpellings have one reading, which is the address; each with its name.
func canonicalSpellings(addr netip.Addr) map[string]string {
	s := addr.String()
	all := map[string]string{
		"plain":            s,
		"trailing dot":     s + ".",
		"percent-encoded":  percent(s),
		"first encoded":    percent(s[:1]) + s[1:],
		"dots encoded":     strings.ReplaceAll(s, ".", "%2e"),
		"full-width":       digits(s, run10('０')),
		"full-width, enc.": percent(digits(s, run10('０'))),
		"circled":          digits(s, [10]rune{'⓪', '①', '②', '③', '④', '⑤', '⑥', '⑦', '⑧', '⑨'}),
		"bold":             digits(s, run10('𝟎')),
		"double-struck":    digits(s, run10('𝟘')),
		"superscript":      digits(s, [10]rune{'⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'}),
		"subscript":        digits(s, run10('₀')),
		"ideographic dot":  strings.ReplaceAll(s, ".", "。"),
		"full-width dot":   strings.ReplaceAll(s, ".", "．"),
		"half-width dot":   strings.ReplaceAll(s, ".", "｡"),
		"soft hyphen":      s[:1] + "\u00ad" + s[1:],
		"zero-width space": s[:1] + "\u200b" + s[1:],
	}
	if a := addr.As4(); a[0] >= 10 && a[0] <= 20 {
		all["circled number"] = string('①'+rune(a[0]-1)) + s[strings.IndexByte(s, '.'):]
	}
	for i, e := range embedded(addr) {
		all[fmt.Sprintf("inside IPv6, %d", i)] = "[" + e.String() + "]"
		all[fmt.Sprintf("inside IPv6 in full, %d", i)] = "[" + strings.ToUpper(e.StringExpanded()) + "]"
	}
	all["mapped, dotted"] = "[::ffff:" + s + "]"
	all["mapped, long"] = "[0:0:0:0:0:FFFF:" + s + "]"
	all["compatible, dotted"] = "[::" + s + "]"
	all["NAT64, dotted"] = "[64:ff9b::" + s + "]"
	all["local NAT64, dotted"] = "[64:ff9b:1::" + s + "]"
	all["ISATAP, dotted"] = "[2600:1::5efe:" + s + "]"
	return all
}

// oddSpellings are read as the address by some programs and as nothing by us.
func oddSpellings(addr netip.Addr) map[string]string {
	a := addr.As4()
	n := uint64(a[0])<<24 | uint64(a[1])<<16 | uint64(a[2])<<8 | uint64(a[3])
	join := func(format string) string { return fmt.Sprintf(format, a[0], a[1], a[2], a[3]) }
	return map[string]string{
		"decimal":             strconv.FormatUint(n, 10),
		"decimal, dot":        strconv.FormatUint(n, 10) + ".",
		"decimal, overflow":   strconv.FormatUint(n+1<<32, 10),
		"hex":                 "0x" + strconv.FormatUint(n, 16),
		"hex, upper case":     "0X" + strings.ToUpper(strconv.FormatUint(n, 16)),
		"hex, zeros":          fmt.Sprintf("0x%016x", n),
		"octal":               "0" + strconv.FormatUint(n, 8),
		"dotted octal":        join("0%o.0%o.0%o.0%o"),
		"dotted hex":          join("0x%x.0x%x.0x%x.0x%x"),
		"mixed":               join("0x%x.%d.0%o.0x%x"),
		"last hex":            join("%d.%d.%d.0x%x"),
		"padded":              join("%04d.%04d.%04d.%04d"),
		"three parts":         fmt.Sprintf("%d.%d.%d", a[0], a[1], n&0xffff),
		"two parts":           fmt.Sprintf("%d.%d", a[0], n&0xffffff),
		"two parts, hex":      fmt.Sprintf("0x%x.0x%x", a[0], n&0xffffff),
		"full-width decimal":  digits(strconv.FormatUint(n, 10), run10('０')),
		"circled hex":         "⓪ⓧ" + strconv.FormatUint(n, 16),
		"encoded decimal":     percent(strconv.FormatUint(n, 10)),
		"encoded twice":       strings.ReplaceAll(percent(addr.String()), "%", "%25"),
		"five parts":          addr.String() + ".1",
		"two dots":            addr.String() + "..",
		"leading dot":         "." + addr.String(),
		"plus":                "+" + addr.String(),
		"minus":               "-" + addr.String(),
		"in brackets":         "[" + addr.String() + "]",
		"brackets encoded":    "%5B::ffff:" + addr.String() + "%5D",
		"mapped, no brackets": "::ffff:" + addr.String(),
		"mapped with a zone":  "[::ffff:" + addr.String() + "%25lo]",
		"with a zone":         addr.String() + "%25lo",
		"NUL":                 addr.String() + "%00",
		"NUL, name":           addr.String() + "%00.door.test",
		"tab":                 addr.String() + "%09",
		"space":               "%20" + addr.String(),
		"line break":          addr.String() + "%0d%0a",
		"slash encoded":       addr.String() + "%2f.door.test",
		"at encoded":          "door.test%40" + addr.String(),
		"colon encoded":       addr.String() + "%3a80",
		"hash encoded":        addr.String() + "%23.door.test",
		"backslash":           addr.String() + `\.door.test`,
		"comma":               addr.String() + ",door.test",
		"semicolon":           addr.String() + ";door.test",
		"asterisk":            "*." + addr.String(),
		"as a subdomain":      "door." + addr.String(),
		"raw tab":             "12\t7.0.0.1",
		"raw line break":      addr.String() + "\n",
		"mixed brackets":      "[::1]" + addr.String(),
	}
}

// embedded gives an IPv4 address in each IPv6 form that carries one.
func embedded(addr netip.Addr) (all []netip.Addr) {
	four := addr.As4()
	put := func(prefix string, xor byte, places ...int) {
		raw := netip.MustParseAddr(prefix).As16()
		for i, place := range places {
			raw[place] = four[i] ^ xor
		}
		all = append(all, netip.AddrFrom16(raw))
	}
	for _, prefix := range []string{
		"::ffff:0:0",                   // mapped
		"::",                           // compatible
		"::ffff:0:0:0",                 // translated, SIIT
		"64:ff9b::",                    // NAT64
		"64:ff9b:1::",                  // local NAT64
		"64:ff9b:1:fffe::",             // local NAT64, one of its /64
		"2600:1::5efe:0:0",             // ISATAP
		"2600:1::200:5efe:0:0",         // ISATAP, as of a global IPv4 address
		"fe80::5efe:0:0", "2002::7f00", // ISATAP on the link
	} {
		put(prefix, 0, 12, 13, 14, 15)
	}
	put("64:ff9b:1::", 0, 6, 7, 9, 10)   // RFC 6052, /48
	put("64:ff9b:1::", 0, 7, 9, 10, 11)  // /56
	put("64:ff9b:1::", 0, 9, 10, 11, 12) // /64
	put("2002::", 0, 2, 3, 4, 5)         // 6to4
	put("2002::1", 0, 2, 3, 4, 5)
	put("2001::", 0xff, 12, 13, 14, 15) // Teredo
	put("2001:0:4136:e378:8000:63bf:0:0", 0xff, 12, 13, 14, 15)
	return all
}
