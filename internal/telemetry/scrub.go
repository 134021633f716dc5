package telemetry

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxError is how much of an exporter's error goes to the log, in bytes: it may
	// quote the collector's whole answer, of which maxQuoted is looked at.
	maxError, maxQuoted = 300, 8 << 10
	// untold stands for an error that has a secret in it in a form that is not known.
	untold = "what the collector says has a part of OTEL_EXPORTER_OTLP_HEADERS, or of the path to it, in it: ask there"
)

// plainPaths are those that everyone knows.
var plainPaths = []string{"", "/", "/v1/traces", "/v1/metrics", "/v1/logs"}

// scrubber takes the values of OTEL_EXPORTER_OTLP_HEADERS out of errors: a collector
// may have answered with the key that it did not like. So it does with the path of an
// endpoint, where some collectors want their key. An error that has the better part of
// one left, in whatever coding, is not shown at all.
type scrubber struct {
	replace *strings.Replacer
	left    pieces
}

func newScrubber(env environment) scrubber {
	var secrets []string
	for _, signal := range []string{"", "TRACES_", "METRICS_", "LOGS_"} {
		for pair := range strings.SplitSeq(env.value(otlpPrefix+signal+"HEADERS"), ",") {
			_, value, _ := strings.Cut(pair, "=")
			secrets = append(secrets, forms(value)...)
		}
		if u, err := url.Parse(env.value(otlpPrefix + signal + "ENDPOINT")); err == nil && !slices.Contains(plainPaths, u.Path) {
			secrets = append(secrets, strings.Trim(u.Path, "/"), strings.Trim(u.EscapedPath(), "/"))
		}
	}
	// Shorter ones are tenants and versions, no keys.
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return len(s) < 4 })
	// At the same place the first one wins: the longest.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	secrets = slices.Compact(secrets)
	var pairs []string
	for _, s := range secrets {
		pairs = append(pairs, s, "[redacted]")
	}
	return scrubber{strings.NewReplacer(pairs...), newPieces(secrets)}
}

// forms are those in which a header's value may come back.
func forms(value string) (all []string) {
	plain, err := url.PathUnescape(value)
	if err != nil {
		plain = value
	}
	for _, s := range append(strings.Fields(plain), strings.TrimSpace(plain), strings.TrimSpace(value)) {
		quoted := strconv.Quote(s)
		all = append(all, s, quoted[1:len(quoted)-1], url.QueryEscape(s))
		if decoded, err := base64.StdEncoding.DecodeString(s); err == nil { // Basic USER:PASSWORD
			_, password, _ := strings.Cut(string(decoded), ":")
			all = append(all, string(decoded), password)
		}
	}
	// The name of a scheme is no secret.
	return slices.DeleteFunc(all, func(s string) bool { return strings.EqualFold(s, "Bearer") || strings.EqualFold(s, "Basic") })
}

// text is an error as the log may have it.
func (s scrubber) text(err error) string {
	text := err.Error()
	text = s.replace.Replace(text[:min(len(text), maxQuoted)])
	if s.left.in(text) {
		return untold
	}
	text = strings.ToValidUTF8(text, "?")
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + " ..."
	}
	return text
}

// refused gives how many of n items an error says were lost: all, or those that the
// collector did not want. The exporters' type for that is internal to them.
func refused(err error, n int) int {
	text := err.Error()
	if !strings.Contains(text, "OTLP partial success: ") || !strings.HasSuffix(text, " rejected)") {
		return n
	}
	some := n
	if _, err := fmt.Sscanf(text[strings.LastIndex(text, "(")+1:], "%d", &some); err != nil || some < 0 {
		return n
	}
	return min(some, n)
}
