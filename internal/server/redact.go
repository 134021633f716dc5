package server

import (
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// redacted stands where a secret was.
const redacted = "REDACTED"

// secretWords in a header's name say that its value may be a secret. Guessing
// too much hides a value from a ledger; guessing too little leaks a key.
var secretWords = []string{
	"auth", "token", "secret", "passw", "api-key", "apikey", "access-key", "cookie", "session",
	"signature", "credential", "private", "license-key", "csrf", "xsrf",
}

func secretHeader(name string) bool {
	switch name { // the common ones that never are, without a search
	case "Accept", "Accept-Encoding", "User-Agent", "Content-Type", "Idempotency-Key":
		return false
	}
	name = strings.ToLower(name)
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// secretParams are query parameters whose values sign or open something: those
// of the OpenTelemetry HTTP conventions and the usual names of keys.
var secretParams = map[string]bool{
	"x-amz-signature": true, "x-amz-credential": true, "x-amz-security-token": true, "awsaccesskeyid": true,
	"signature": true, "sig": true, "x-goog-signature": true, "x-goog-credential": true,
	"access_token": true, "refresh_token": true, "id_token": true, "token": true, "auth": true,
	"api_key": true, "apikey": true, "api-key": true, "key": true, "code": true,
	"password": true, "passwd": true, "secret": true, "client_secret": true, "client_assertion": true,
}

// safeURL is u as a ledger shows it.
func safeURL(u target.URL) string {
	if u.Query == "" || !strings.Contains(u.Query, "=") {
		return u.String()
	}
	pairs := strings.Split(u.Query, "&")
	changed := false
	for i, p := range pairs {
		name, _, ok := strings.Cut(p, "=")
		if ok && secretParams[strings.ToLower(name)] {
			pairs[i], changed = name+"="+redacted, true
		}
	}
	if changed {
		u.Query = strings.Join(pairs, "&")
	}
	return u.String()
}
