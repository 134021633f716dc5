package fetch

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// here is this side's clock in these tests.
var here = time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)

// head makes a header of lines, in the spelling that net/http hands over.
func head(lines ...string) http.Header {
	h := http.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Add(name, value)
	}
	return h
}

func TestRetryAfter(t *testing.T) {
	const none = time.Duration(-1)
	for name, tc := range map[string]struct {
		status int
		lines  []string
		want   time.Duration
		header string
	}{
		"nothing":               {503, nil, none, ""},
		"other headers":         {503, []string{"Content-Type: text/plain"}, none, ""},
		"seconds":               {503, []string{"Retry-After: 120"}, 120 * time.Second, "Retry-After"},
		"any status":            {301, []string{"Retry-After: 120"}, 120 * time.Second, "Retry-After"},
		"zero":                  {429, []string{"Retry-After: 0"}, 0, "Retry-After"},
		"leading zeros":         {429, []string{"Retry-After: 007"}, 7 * time.Second, "Retry-After"},
		"space around":          {429, []string{"Retry-After: \t 7 "}, 7 * time.Second, "Retry-After"},
		"fraction":              {429, []string{"Retry-After: 1.5"}, 1500 * time.Millisecond, "Retry-After"},
		"fraction, rounded up":  {429, []string{"Retry-After: 0.0000000001"}, 1, "Retry-After"},
		"fraction, only zeros":  {429, []string{"Retry-After: 2.000000000000"}, 2 * time.Second, "Retry-After"},
		"fraction, no whole":    {429, []string{"Retry-After: .5"}, none, ""},
		"fraction, no part":     {429, []string{"Retry-After: 5."}, none, ""},
		"fraction, two dots":    {429, []string{"Retry-After: 1.2.3"}, none, ""},
		"negative":              {429, []string{"Retry-After: -5"}, none, ""},
		"plus":                  {429, []string{"Retry-After: +5"}, none, ""},
		"exponent":              {429, []string{"Retry-After: 1e3"}, none, ""},
		"hexadecimal":           {429, []string{"Retry-After: 0x10"}, none, ""},
		"unit":                  {429, []string{"Retry-After: 30s"}, none, ""},
		"empty":                 {429, []string{"Retry-After: "}, none, ""},
		"not a number":          {429, []string{"Retry-After: NaN"}, none, ""},
		"other digits":          {429, []string{"Retry-After: ٣"}, none, ""},
		"a day":                 {503, []string{"Retry-After: 86400"}, 24 * time.Hour, "Retry-After"},
		"beyond a duration":     {503, []string{"Retry-After: 9223372037"}, longestAsked, "Retry-After"},
		"beyond 64 bits":        {503, []string{"Retry-After: 99999999999999999999"}, longestAsked, "Retry-After"},
		"longest of lines":      {503, []string{"Retry-After: 5", "Retry-After: 30", "Retry-After: 7"}, 30 * time.Second, "Retry-After"},
		"joined lines":          {503, []string{"Retry-After: 5, 30"}, 30 * time.Second, "Retry-After"},
		"joined with garbage":   {503, []string{"Retry-After: Sun, 06"}, none, ""},
		"garbage, then a line":  {503, []string{"Retry-After: soon", "Retry-After: 3"}, 3 * time.Second, "Retry-After"},
		"date, RFC 1123":        {503, []string{"Retry-After: Sun, 06 Nov 1994 08:50:07 GMT"}, 30 * time.Second, "Retry-After"},
		"date, RFC 850":         {503, []string{"Retry-After: Sunday, 06-Nov-94 08:50:07 GMT"}, 30 * time.Second, "Retry-After"},
		"date, asctime":         {503, []string{"Retry-After: Sun Nov  6 08:50:07 1994"}, 30 * time.Second, "Retry-After"},
		"date, space around":    {503, []string{"Retry-After:  Sun, 06 Nov 1994 08:50:07 GMT "}, 30 * time.Second, "Retry-After"},
		"date, past":            {503, []string{"Retry-After: Sun, 06 Nov 1994 08:49:07 GMT"}, 0, "Retry-After"},
		"date, far":             {503, []string{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"}, longestAsked, "Retry-After"},
		"date, impossible":      {503, []string{"Retry-After: Sun, 36 Nov 1994 08:50:07 GMT"}, none, ""},
		"date and seconds":      {503, []string{"Retry-After: 10", "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT"}, 30 * time.Second, "Retry-After"},
		"their clock is ahead":  {503, []string{"Date: Sun, 06 Nov 1994 09:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 09:49:47 GMT"}, 10 * time.Second, "Retry-After"},
		"their clock is behind": {503, []string{"Date: Sun, 06 Nov 1994 07:49:37 GMT", "Retry-After: Sun, 06 Nov 1994 07:49:47 GMT"}, 10 * time.Second, "Retry-After"},
		"no clock of theirs":    {503, []string{"Date: today", "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT"}, 30 * time.Second, "Retry-After"},

		"milliseconds":                {429, []string{"Retry-After-Ms: 250"}, 250 * time.Millisecond, "Retry-After-Ms"},
		"milliseconds, Azure":         {429, []string{"X-Ms-Retry-After-Ms: 250"}, 250 * time.Millisecond, "X-Ms-Retry-After-Ms"},
		"milliseconds win":            {429, []string{"Retry-After: 1", "Retry-After-Ms: 250"}, 250 * time.Millisecond, "Retry-After-Ms"},
		"milliseconds, longest":       {429, []string{"Retry-After-Ms: 250", "X-Ms-Retry-After-Ms: 900"}, 900 * time.Millisecond, "X-Ms-Retry-After-Ms"},
		"milliseconds, zero":          {429, []string{"Retry-After: 1", "Retry-After-Ms: 0"}, 0, "Retry-After-Ms"},
		"milliseconds, fraction":      {429, []string{"Retry-After-Ms: 0.25"}, 250 * time.Microsecond, "Retry-After-Ms"},
		"milliseconds, negative":      {429, []string{"Retry-After: 1", "Retry-After-Ms: -1"}, time.Second, "Retry-After"},
		"milliseconds, garbage":       {429, []string{"Retry-After: 1", "Retry-After-Ms: a while"}, time.Second, "Retry-After"},
		"milliseconds, no date":       {429, []string{"Retry-After-Ms: Sun, 06 Nov 1994 08:50:07 GMT"}, none, ""},
		"milliseconds, beyond 64 bit": {429, []string{"Retry-After-Ms: 9223372036854775808"}, longestAsked, "Retry-After-Ms"},

		"reset, delta":             {429, []string{"X-RateLimit-Reset: 30"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, fraction":          {429, []string{"X-RateLimit-Reset: 0.5"}, 500 * time.Millisecond, "X-Ratelimit-Reset"},
		"reset, largest delta":     {429, []string{"X-RateLimit-Reset: 999999999"}, 999999999 * time.Second, "X-Ratelimit-Reset"},
		"reset, epoch":             {429, []string{"Date: Fri, 13 Feb 2009 23:31:30 GMT", "X-RateLimit-Reset: 1234567920"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, epoch, fraction":   {429, []string{"Date: Fri, 13 Feb 2009 23:31:30 GMT", "X-RateLimit-Reset: 1234567890.25"}, 250 * time.Millisecond, "X-Ratelimit-Reset"},
		"reset, epoch ms":          {429, []string{"Date: Fri, 13 Feb 2009 23:31:30 GMT", "X-RateLimit-Reset: 1234567890250"}, 250 * time.Millisecond, "X-Ratelimit-Reset"},
		"reset, epoch past":        {429, []string{"Date: Fri, 13 Feb 2009 23:31:30 GMT", "X-RateLimit-Reset: 1234567880"}, 0, "X-Ratelimit-Reset"},
		"reset, epoch by us":       {429, []string{"X-RateLimit-Reset: 1234567890"}, time.Unix(1234567890, 0).Sub(here), "X-Ratelimit-Reset"},
		"reset, zeros before":      {429, []string{"X-RateLimit-Reset: 00000000000030"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, huge":              {429, []string{"X-RateLimit-Reset: 123456789012345678901"}, longestAsked, "X-Ratelimit-Reset"},
		"reset, negative":          {429, []string{"X-RateLimit-Reset: -30"}, none, ""},
		"reset, garbage":           {429, []string{"X-RateLimit-Reset: tomorrow"}, none, ""},
		"reset, hyphens":           {429, []string{"X-Rate-Limit-Reset: 30"}, 30 * time.Second, "X-Rate-Limit-Reset"},
		"reset, no X":              {429, []string{"RateLimit-Reset: 30"}, 30 * time.Second, "Ratelimit-Reset"},
		"reset, longest":           {429, []string{"X-RateLimit-Reset: 30", "RateLimit-Reset: 40", "X-Rate-Limit-Reset: 20"}, 40 * time.Second, "Ratelimit-Reset"},
		"reset, Retry-After wins":  {429, []string{"X-RateLimit-Reset: 30", "Retry-After: 2"}, 2 * time.Second, "Retry-After"},
		"reset, milliseconds win":  {429, []string{"X-RateLimit-Reset: 30", "Retry-After-Ms: 2"}, 2 * time.Millisecond, "Retry-After-Ms"},
		"reset, 429, none left":    {429, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: 0"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, 429, some left":    {429, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: 17"}, none, ""},
		"reset, 429, unclear left": {429, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: -1"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, 403, none left":    {403, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: 0"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, 503, none left":    {503, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: 0"}, 30 * time.Second, "X-Ratelimit-Reset"},
		"reset, 403, some left":    {403, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: 1"}, none, ""},
		"reset, 403, nothing said": {403, []string{"X-RateLimit-Reset: 30"}, none, ""},
		"reset, 503, nothing said": {503, []string{"X-RateLimit-Reset: 30"}, none, ""},
		"reset, 500, none left":    {500, []string{"X-RateLimit-Reset: 30", "X-RateLimit-Remaining: 0"}, none, ""},
		"reset, other's rest":      {403, []string{"X-RateLimit-Reset: 30", "RateLimit-Remaining: 0"}, none, ""},

		"draft 11":                {429, []string{`RateLimit: "default";r=0;t=30`}, 30 * time.Second, "Ratelimit"},
		"draft 11, any status":    {502, []string{`RateLimit: "default";r=0;t=30`}, 30 * time.Second, "Ratelimit"},
		"draft 11, some left":     {429, []string{`RateLimit: "default";r=1;t=30`}, none, ""},
		"draft 11, no time":       {429, []string{`RateLimit: "default";r=0`}, none, ""},
		"draft 11, order":         {429, []string{`RateLimit: "default";t=30; r=0`}, 30 * time.Second, "Ratelimit"},
		"draft 11, two policies":  {429, []string{`RateLimit: "burst";r=0;t=5, "day";r=7;t=3600`}, 5 * time.Second, "Ratelimit"},
		"draft 11, two spent":     {429, []string{`RateLimit: "burst";r=0;t=5,"day";r=0;t=3600`}, time.Hour, "Ratelimit"},
		"draft 11, two lines":     {429, []string{`RateLimit: "burst";r=0;t=5`, `RateLimit: "day";r=0;t=3600`}, time.Hour, "Ratelimit"},
		"draft 11, quoted":        {429, []string{`RateLimit: "a;r=0;t=9,\"b\";r=0;t=8";r=1;t=7`}, none, ""},
		"draft 11, unclosed":      {429, []string{`RateLimit: "default;r=0;t=30`}, none, ""},
		"draft 11, key":           {429, []string{`RateLimit: "default";r=0;pk=:cHJpdg==:;t=30`}, 30 * time.Second, "Ratelimit"},
		"draft 11, negative":      {429, []string{`RateLimit: "default";r=0;t=-30`}, none, ""},
		"draft 11, huge":          {429, []string{`RateLimit: "default";r=0;t=999999999999999`}, longestAsked, "Ratelimit"},
		"draft 11, the name is r": {429, []string{`RateLimit: r=0;t=30`}, none, ""},
		"draft 7":                 {429, []string{`RateLimit: limit=10, remaining=0, reset=30`}, 30 * time.Second, "Ratelimit"},
		"draft 7, some left":      {429, []string{`RateLimit: limit=10, remaining=1, reset=30`}, none, ""},
		"draft and reset":         {429, []string{`RateLimit: "default";r=0;t=30`, "X-RateLimit-Reset: 60"}, time.Minute, "X-Ratelimit-Reset"},
	} {
		t.Run(name, func(t *testing.T) {
			wait, header, ok := retryAfter(tc.status, head(tc.lines...), here)
			want, wantOK := max(tc.want, 0), tc.want != none
			if wait != want || header != tc.header || ok != wantOK {
				t.Errorf("retryAfter(%d, %q) = %v, %q, %v; want %v, %q, %v", tc.status, tc.lines, wait, header, ok, want, tc.header, wantOK)
			}
		})
	}
}

func TestAmount(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"9223372035":                  9223372035 * time.Second,
		"9223372035.999999999":        9223372035*time.Second + 999999999,
		"9223372035.9999999991":       9223372036 * time.Second,
		"9223372036":                  math.MaxInt64,
		"0.123456789":                 123456789,
		"0.1234567890":                123456789,
		"0.12345678901":               123456790,
		"00000000000000000000000000.": -1,
	} {
		if got := amount(in, time.Second); got != want {
			t.Errorf("amount(%q) = %d, want %d", in, got, want)
		}
	}
}

// FuzzRetryAfter: whatever an upstream sends, the wait is within its bounds, the
// header named is one that was sent, and the order of its lines does not matter.
func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{
		"", "0", "120", "1.5", "-5", "5, 30", "99999999999999999999", "Sun, 06 Nov 1994 08:50:07 GMT",
		"Sunday, 06-Nov-94 08:50:07 GMT", "Sun Nov  6 08:50:07 1994", "1234567890", "1234567890250",
		`"default";r=0;t=30`, `"a\";r=0", "b";r=0;t=1`, "limit=10, remaining=0, reset=30", "\x00", "٣",
	} {
		f.Add(503, "Retry-After", v, "7", "Sun, 06 Nov 1994 08:49:37 GMT")
		f.Add(429, "X-RateLimit-Reset", v, "0", "")
		f.Add(403, "RateLimit", v, v, v)
		f.Add(429, "Retry-After-Ms", v, "250", "never")
	}
	f.Fuzz(func(t *testing.T, status int, name, one, other, date string) {
		h := http.Header{"Date": {date}, "X-Ratelimit-Remaining": {other}, http.CanonicalHeaderKey(name): {one, other}}
		before := h.Clone()
		wait, header, ok := retryAfter(status, h, here)
		if wait < 0 || wait > longestAsked {
			t.Errorf("the wait is %v", wait)
		}
		if !ok && (wait != 0 || header != "") || ok && len(h[header]) == 0 {
			t.Errorf("retryAfter = %v, %q, %v for %q", wait, header, ok, h)
		}
		for k, v := range before {
			if !slices.Equal(h[k], v) {
				t.Errorf("%s became %q", k, h[k])
			}
		}
		if strings.EqualFold(name, "Date") {
			return // only its first line is read
		}
		slices.Reverse(h[http.CanonicalHeaderKey(name)])
		if again, _, _ := retryAfter(status, h, here); again != wait {
			t.Errorf("turned round the wait is %v, before it was %v, for %q", again, wait, h)
		}
	})
}
