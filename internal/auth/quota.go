package auth

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// quota is what is left of one, as an upstream said. The zero value is unknown.
type quota struct {
	remaining int64
	resets    time.Time // then it is unknown again
}

// left is false for a quota that nobody knows.
func (q quota) left(now time.Time) (int64, bool) {
	return q.remaining, now.Before(q.resets)
}

// quotaOf reads what an answer says of it, in the spellings that are in use: the
// field RateLimit (draft-ietf-httpapi-ratelimit-headers), its earlier forms, and
// those with X-. Of several the least counts. One without an end is known for as
// long as unless says.
func quotaOf(h http.Header, now time.Time, unless time.Duration) (least quota, said bool) {
	note := func(remaining int64, wait time.Duration, ok bool) {
		if !ok || said && remaining >= least.remaining {
			return
		}
		if wait <= 0 {
			wait = unless
		}
		least, said = quota{remaining, now.Add(min(wait, maxRest))}, true
	}
	for _, item := range rateLimits(h["Ratelimit"]) {
		note(item.remaining, time.Duration(item.window)*time.Second, true)
	}
	for _, pair := range [...][2]string{
		{"Ratelimit-Remaining", "Ratelimit-Reset"},
		{"X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
		{"X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"},
	} {
		remaining, ok := wholeNumber(h.Get(pair[0]))
		if ok {
			note(remaining, untilReset(h.Get(pair[1]), now), true)
		}
	}
	return least, said
}

// wholeNumber reads the number that s begins with: some write `99, 100;w=60`.
func wholeNumber(s string) (int64, bool) {
	s, _, _ = strings.Cut(s, ",")
	s, _, _ = strings.Cut(s, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil && n >= 0
}

// untilReset reads seconds from now, seconds or milliseconds since 1970, or a time
// like `6m0s`; 0: none of them.
func untilReset(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if d, err := time.ParseDuration(s); err == nil {
		return max(d, 0)
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || math.IsNaN(n) || n < 0 || n > 1e14:
		return 0
	case n > 1e11:
		return max(time.UnixMilli(int64(n)).Sub(now), 0)
	case n > 1e9:
		return max(time.Unix(int64(n), 0).Sub(now), 0)
	}
	return time.Duration(min(n, maxRest.Seconds()) * float64(time.Second))
}

// rateLimit is one item of RateLimit: r and t of it.
type rateLimit struct{ remaining, window int64 }

// rateLimits reads the lines of RateLimit: a list of items with parameters
// (RFC 9651), `"default";r=50;t=30`, or in earlier drafts the members `remaining=50`
// and `reset=30`. What cannot be read says nothing.
func rateLimits(lines []string) (all []rateLimit) {
	for _, line := range lines {
		elements, ok := splitList(line)
		if len(line) > maxChallengeLine || !ok {
			continue
		}
		old := rateLimit{remaining: -1}
		for _, element := range elements {
			name, rest := element, ""
			if element[0] == '"' {
				_, rest = unquote(element)
			} else {
				name, rest = token(element)
			}
			item, ok := limitParams(rest)
			value, whole := wholeNumber(strings.TrimPrefix(strings.TrimLeft(rest, " \t"), "="))
			switch {
			case whole && strings.EqualFold(name, "remaining"):
				old.remaining = value
			case whole && strings.EqualFold(name, "reset"):
				old.window = min(value, int64(maxRest/time.Second))
			case ok:
				all = append(all, item)
			}
		}
		if old.remaining >= 0 {
			all = append(all, old)
		}
	}
	return all
}

// limitParams reads `;r=50;t=30`. One without r says nothing.
func limitParams(s string) (item rateLimit, ok bool) {
	for param := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		n, whole := wholeNumber(value)
		switch {
		case name == "r" && whole:
			item.remaining, ok = n, true
		case name == "t" && whole:
			item.window = min(n, int64(maxRest/time.Second))
		}
	}
	return item, ok
}
