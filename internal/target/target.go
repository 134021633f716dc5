// Package target reads the URLs that callers, redirects and policy name, and
// gives each host exactly one spelling.
//
// That one spelling is what policy matches, what is resolved, dialled, sent as
// Host and SNI: two parts of a program that read a host differently are how a
// guard is walked around. Nothing here reaches the network.
package target

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Host is a canonical host: a lower-case A-label name without trailing dot, or
// an IP address.
type Host struct {
	// Name is the spelling for policy, Host, SNI and the resolver. An IPv6
	// address stands without brackets.
	Name string
	// Addr is the address, if the host is one.
	Addr netip.Addr
}

// IsAddr says whether the host is an IP address.
func (h Host) IsAddr() bool { return h.Addr.IsValid() }

// lookup is UTS #46 as browsers run it: non-transitional, mapped (case, width),
// label and length rules on.
var lookup = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(true),
	idna.BidiRule(),
	idna.VerifyDNSLength(true),
)

const (
	// maxName is the longest host name in presentation form (RFC 1035 section 3.1).
	maxName = 253
	// maxGiven is the longest before IDNA, in bytes of UTF-8. Its Punycode takes time
	// by the square of the length: a redirect to 64 KiB of Han would cost seconds.
	maxGiven = 4 * maxName
)

var errLength = fmt.Errorf("a host name has 1 to %d characters", maxName)

// ParseHost gives s its one spelling. An IPv6 address may stand in brackets.
// Refused, with the reason: empty names, zones, non-canonical IPv4 spellings
// (`0x7f.1`, `2130706433`, `127.1`), characters that no host name has.
func ParseHost(s string) (Host, error) {
	if s == "" {
		return Host{}, errors.New("the host is empty")
	}
	if len(s) > maxGiven {
		return Host{}, errLength
	}
	if s[0] == '[' || strings.Contains(s, ":") {
		return parseIPv6(s)
	}
	name := s
	if !plain(s) {
		mapped, err := mapName(s)
		if err != nil {
			return Host{}, err
		}
		name = mapped
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxName {
		return Host{}, errLength
	}
	if looksIPv4(name) {
		return parseIPv4(name)
	}
	if err := checkLabels(name); err != nil {
		return Host{}, err
	}
	return Host{Name: name}, nil
}

// mapName runs UTS #46. What it yields must be its own image, so that reading a
// host twice cannot yield two hosts.
func mapName(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("host %q is not valid UTF-8", clip(s))
	}
	mapped, err := lookup.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a host name (IDNA: %s)", clip(s), clip(idnaReason(err)))
	}
	if again, err := lookup.ToASCII(mapped); err != nil || again != mapped {
		return "", fmt.Errorf("%q is not a host name: it maps to %q, which is none", clip(s), clip(mapped))
	}
	return mapped, nil
}

// plain says that s is already lower-case letters, digits, hyphens and dots
// with no label that IDNA would have to look at, so that the common case costs
// one pass and no allocation.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return !strings.HasPrefix(s, "xn--") && !strings.Contains(s, ".xn--")
}

func idnaReason(err error) string {
	return strings.TrimPrefix(err.Error(), "idna: ")
}

// checkLabels holds the rules that plain skips: no empty or overlong label. An
// underscore is accepted, because service names in use have it; IDNA's mapping
// refuses it, so it stands in plain ASCII names only.
func checkLabels(name string) error {
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return fmt.Errorf("host %q has an empty label (two dots in a row, or one in front)", clip(name))
		case len(label) > 63:
			return fmt.Errorf("host %q has a label of more than 63 characters", clip(name))
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("host %q has a label that begins or ends with a hyphen", clip(name))
		}
	}
	return nil
}

func parseIPv6(s string) (Host, error) {
	inner := s
	if s[0] == '[' {
		if s[len(s)-1] != ']' {
			return Host{}, fmt.Errorf("%q has an opening bracket and no closing one", clip(s))
		}
		inner = s[1 : len(s)-1]
	}
	if strings.Contains(inner, "%") {
		return Host{}, fmt.Errorf("%q has an IPv6 zone, which means nothing to another machine: leave it out", clip(s))
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || !addr.Is6() {
		return Host{}, fmt.Errorf("%q is not an IPv6 address", clip(s))
	}
	addr = addr.Unmap() // an IPv4-mapped one reaches the IPv4 address, so it is that to policy too
	return Host{Name: addr.String(), Addr: addr}, nil
}

// looksIPv4 is the WHATWG URL Standard's "ends in a number" test: such a host
// is an IPv4 address or nothing, never a name for a resolver to interpret.
func looksIPv4(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" {
		return false
	}
	if allDigits(last) {
		return true
	}
	if len(last) >= 2 && last[0] == '0' && last[1] == 'x' {
		_, err := strconv.ParseUint("0"+last[2:], 16, 64)
		return err == nil || errors.Is(err, strconv.ErrRange)
	}
	return false
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func parseIPv4(name string) (Host, error) {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return Host{}, fmt.Errorf("%q is not a canonical IPv4 address: write four decimal numbers without leading zeros", clip(name))
	}
	return Host{Name: addr.String(), Addr: addr}, nil
}
