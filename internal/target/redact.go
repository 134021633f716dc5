package target

import (
	"net/url"
	"strings"
)

// Mask stands where a secret was.
const Mask = "REDACTED"

// secretParams are words in the names of query parameters whose values sign or
// open something: those of the OpenTelemetry HTTP conventions and the usual ones
// of keys. Hiding too much costs a look; hiding too little leaks a key.
var secretParams = []string{"signature", "credential", "token", "secret", "passw", "accesskey", "assertion"}

// secretParam judges a name as it stands in a query.
func secretParam(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	name = strings.ToLower(name)
	if name == "sig" || name == "auth" || name == "code" || strings.HasSuffix(name, "key") {
		return true
	}
	for _, word := range secretParams {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Redacted is the URL as ledgers and spans show it: values of query parameters
// that sign or open something are masked.
func (u URL) Redacted() string {
	if !strings.Contains(u.Query, "=") {
		return u.String()
	}
	pairs := strings.Split(u.Query, "&")
	changed := false
	for i, p := range pairs {
		name, _, ok := strings.Cut(p, "=")
		if ok && secretParam(name) {
			pairs[i], changed = name+"="+Mask, true
		}
	}
	if changed {
		u.Query = strings.Join(pairs, "&")
	}
	return u.String()
}

// Place is the URL without its query, for messages.
func (u URL) Place() string { return u.Scheme + "://" + u.HostPort() + u.Path }
