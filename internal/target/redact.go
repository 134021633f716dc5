package target

import "strings"

// Mask stands where a secret was.
const Mask = "REDACTED"

// secretParams are query parameters whose values sign or open something: those
// of the OpenTelemetry HTTP conventions and the usual names of keys.
var secretParams = map[string]bool{
	"x-amz-signature": true, "x-amz-credential": true, "x-amz-security-token": true, "awsaccesskeyid": true,
	"signature": true, "sig": true, "x-goog-signature": true, "x-goog-credential": true,
	"access_token": true, "refresh_token": true, "id_token": true, "token": true, "auth": true,
	"api_key": true, "apikey": true, "api-key": true, "key": true, "code": true,
	"password": true, "passwd": true, "secret": true, "client_secret": true, "client_assertion": true,
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
		if ok && secretParams[strings.ToLower(name)] {
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
