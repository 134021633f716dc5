package contract

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// ledger reads the attempts.
func (a *answer) ledger(attempts []*fetchsvcv1.Attempt, mask *strings.Replacer) {
	for i, at := range attempts {
		end := fmt.Sprint(at.GetStatus())
		if e := at.GetError(); e != nil {
			end = e.GetReason()
			if e.GetMessage() == "" {
				a.fault("attempt %d failed by %s without a message", i+1, e.GetReason())
			}
			if at.GetStatus() != 0 {
				end = fmt.Sprint(at.GetStatus(), " ", end)
			}
		}
		line := strings.Join([]string{at.GetReason().String(), at.GetMethod(), at.GetWire().String(), end}, " ")
		if at.GetHop() != 0 {
			line = fmt.Sprintf("hop %d %s", at.GetHop(), line)
		}
		a.Attempts = append(a.Attempts, line)
		a.last = lines(at.GetHeaders(), mask)
		a.checkAttempt(line, at)
		a.note(at, mask)
	}
}

// note reads what only some attempts have.
func (a *answer) note(at *fetchsvcv1.Attempt, mask *strings.Replacer) {
	note := func(format string, args ...any) {
		a.Notes = append(a.Notes, fmt.Sprintf("#%d ", at.GetNumber())+mask.Replace(fmt.Sprintf(format, args...)))
	}
	wait := at.GetWait().AsDuration()
	if wait >= 100*time.Millisecond {
		wait = wait.Truncate(100 * time.Millisecond) // what an upstream asks for is stretched a little
	}
	if why := at.GetWaitReason(); why != "" || wait > 0 {
		note("after %s for %s", wait, why)
	}
	if name := at.GetCredential(); name != "" {
		note("with credential %s", name)
	}
	if proxy := at.GetProxy(); proxy != "" {
		note("through %s", proxy)
	}
	if stopped := at.GetStopped(); stopped != "" {
		word, why, _ := strings.Cut(stopped, ": ")
		if why == "" {
			a.fault("attempt %d says stopped %q, want a word and a sentence", at.GetNumber(), stopped)
		}
		note("stops by %s", word)
	}
}

func (a *answer) checkAttempt(line string, at *fetchsvcv1.Attempt) {
	switch end := at.GetError().GetReason(); {
	case strings.HasPrefix(end, "DNS_"), end == "ADDRESS_DENIED", end == "CREDENTIAL_UNAVAILABLE":
		if at.GetAddress() != "" {
			a.fault("attempt %s: address is %q although nothing was dialled", line, at.GetAddress())
		}
	default:
		if strings.HasSuffix(line, "UNSENT TOTAL_TIMEOUT") && at.GetTimings().GetDns() == nil && at.GetAddress() == "" {
			break // it was still resolving
		}
		if _, err := netip.ParseAddrPort(at.GetAddress()); err != nil {
			a.fault("attempt %s: address is %q, want ip:port", line, at.GetAddress())
		}
	}
	if at.GetTimings().GetTotal().AsDuration() <= 0 {
		a.fault("attempt %s: it took %v, want more than 0", line, at.GetTimings().GetTotal().AsDuration())
	}
	if at.GetStatus() != 0 && at.GetHttpVersion() == "" {
		a.fault("attempt %s: it was answered and has no http_version", line)
	}
}

// checkLedger holds what the ledger says was sent to what arrived, secrets aside.
func (a *answer) checkLedger() {
	if !strings.HasSuffix(a.Arrived.Line, "HTTP/1.1") || len(a.last) == 0 {
		return
	}
	name := func(line string) string { n, _, _ := strings.Cut(line, ":"); return n }
	said, came := slices.Clone(a.last), slices.Clone(a.Arrived.Header)
	slices.SortStableFunc(said, func(x, y string) int { return strings.Compare(name(x), name(y)) })
	slices.SortStableFunc(came, func(x, y string) int { return strings.Compare(name(x), name(y)) })
	for i, line := range said {
		secret := slices.Contains([]string{"Authorization", "Cookie", "X-Api-Key"}, name(line))
		switch {
		case secret && line != name(line)+": REDACTED":
			a.fault("the ledger has %q, want its value redacted", line)
		case name(line) == "Host", secret, strings.HasPrefix(line, name(line)+"::"):
			said[i] = name(line)
		}
		if i < len(came) && name(came[i]) == said[i] {
			came[i] = said[i]
		}
	}
	if !slices.Equal(said, came) {
		a.fault("the ledger says that %q was sent, and the upstream got %q", said, came)
	}
}

// checkSecrets holds that no secret of the process comes back to a caller.
func (a *answer) checkSecrets() {
	shown := *a
	shown.Arrived = arrived{} // the upstream's side
	if text := fmt.Sprintf("%+v", shown); strings.Contains(text, "-canary") {
		a.fault("a secret is in the answer")
	}
}

// madeKey is an idempotency key that fetchsvc made: a random UUID, version 4.
var madeKey = regexp.MustCompile(`: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
