package fetch

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestAsked stands for every wait that is as long or longer: a hundred years.
// It is over any cap, and sums with it do not overflow.
const longestAsked = 100 * 365 * 24 * time.Hour

// retryAfter reads how long an answer asks to be left alone, and the header that
// says so, in net/http's spelling. Whether a status is worth a retry is not its
// concern. The most explicit one decides, the longest among equals:
//
//   - retry-after-ms and x-ms-retry-after-ms, in milliseconds (Azure, OpenAI);
//   - Retry-After (RFC 9110 section 10.2.3), in seconds or as a date in any of the
//     three formats;
//   - what is known of a spent quota: RateLimit (draft-ietf-httpapi-ratelimit-headers)
//     and its forerunners X-RateLimit-Reset and the like.
//
// Dates count from the answer's own Date if it has one, so that clocks that differ
// do no harm; a date in the past asks for no wait. What cannot be read is ignored,
// not so a number too large to be held: that is longestAsked.
func retryAfter(status int, h http.Header, now time.Time) (wait time.Duration, header string, ok bool) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	var a asked
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		for _, v := range h[name] {
			a.note(name, amount(v, time.Millisecond))
		}
	}
	if !a.ok {
		for _, v := range h["Retry-After"] {
			a.note("Retry-After", secondsOrDate(v, now))
		}
	}
	if !a.ok {
		a.quota(status, h, now)
	}
	return a.wait, a.header, a.ok
}

// asked is the longest wait found so far.
type asked struct {
	wait   time.Duration
	header string
	ok     bool
}

// note takes a wait that a header asks for; a negative one says nothing.
func (a *asked) note(header string, wait time.Duration) {
	if wait >= 0 && (!a.ok || wait > a.wait) {
		*a = asked{min(wait, longestAsked), header, true}
	}
}

// resets are the headers of a quota that never became a standard: when it starts
// anew, and how much of it is left.
var resets = [...]struct{ reset, remaining string }{
	{"X-Ratelimit-Reset", "X-Ratelimit-Remaining"},
	{"X-Rate-Limit-Reset", "X-Rate-Limit-Remaining"},
	{"Ratelimit-Reset", "Ratelimit-Remaining"},
}

// quota notes when a spent quota starts anew. Many answers carry a reset, spent or
// not: it counts where a 429, 403 or 503 says that nothing remains, or where a 429
// does not say that something does. If something remains, another limit was hit.
func (a *asked) quota(status int, h http.Header, now time.Time) {
	for _, v := range h["Ratelimit"] {
		a.rateLimit(v)
	}
	for _, q := range resets {
		if !spent(status, h[q.remaining]) {
			continue
		}
		for _, v := range h[q.reset] {
			a.note(q.reset, deltaOrEpoch(v, now))
		}
	}
}

// spent says whether an answer means that nothing remains of a quota.
func spent(status int, remaining []string) bool {
	none, some := false, false
	for _, v := range remaining {
		n := amount(v, time.Second)
		none, some = none || n == 0, some || n > 0
	}
	switch status {
	case http.StatusTooManyRequests:
		return none || !some
	case http.StatusForbidden, http.StatusServiceUnavailable:
		return none
	}
	return false
}

// rateLimit reads draft 11, `"default";r=0;t=30, "day";r=5;t=3600`, and the
// dictionary of drafts 3 to 7, `limit=9, remaining=0, reset=30`.
func (a *asked) rateLimit(v string) {
	remaining, reset := time.Duration(-1), time.Duration(-1)
	for item := range splitQuoted(v, ',') {
		r, t, first := time.Duration(-1), time.Duration(-1), true
		for param := range splitQuoted(item, ';') {
			key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			switch n := amount(value, time.Second); {
			case first && key == "remaining":
				remaining = n
			case first && key == "reset":
				reset = n
			case !first && key == "r":
				r = n
			case !first && key == "t":
				t = n
			}
			first = false
		}
		if r == 0 {
			a.note("Ratelimit", t)
		}
	}
	if remaining == 0 {
		a.note("Ratelimit", reset)
	}
}

// secondsOrDate reads one Retry-After, negative if that cannot be done. Some
// senders give fractions, and some proxies join two lines into `30, 60`.
func secondsOrDate(v string, now time.Time) time.Duration {
	if t, err := http.ParseTime(strings.TrimSpace(v)); err == nil {
		return max(t.Sub(now), 0)
	}
	longest := time.Duration(-1)
	for part := range strings.SplitSeq(v, ",") {
		d := amount(part, time.Second)
		if d < 0 {
			return -1
		}
		longest = max(longest, d)
	}
	return longest
}

// deltaOrEpoch reads one reset, negative if that cannot be done: seconds from now,
// or since 1970 if those are 2001 or later, or milliseconds since 1970 if seconds
// would be the year 5138 or later.
func deltaOrEpoch(v string, now time.Time) time.Duration {
	whole, _, _ := strings.Cut(strings.TrimSpace(v), ".")
	unit := time.Second
	switch digits := len(strings.TrimLeft(whole, "0")); {
	case digits < 10:
		return amount(v, unit)
	case digits >= 12:
		unit = time.Millisecond
	}
	since := amount(v, unit)
	if since < 0 || since == math.MaxInt64 {
		return since
	}
	return max(time.Unix(0, int64(since)).Sub(now), 0)
}

// amount reads digits with or without a decimal part, rounded up to the
// nanosecond: no one comes back too early. What does not fit is math.MaxInt64,
// what is no such number is -1.
func amount(s string, unit time.Duration) time.Duration {
	whole, part, dotted := strings.Cut(strings.TrimSpace(s), ".")
	if !allDigits(whole) || dotted && !allDigits(part) {
		return -1
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n >= int64(math.MaxInt64/unit) {
		return math.MaxInt64
	}
	d, step := time.Duration(n)*unit, unit
	for _, c := range []byte(part) {
		step /= 10
		if step == 0 && c != '0' {
			return d + 1
		}
		d += time.Duration(c-'0') * step
	}
	return d
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// splitQuoted gives the parts of s between separators that stand outside of quoted
// strings (RFC 9651 section 3.3.3).
func splitQuoted(s string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == separator && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
