package server

import "strings"

// secretWords in a header's name say that its value may be a secret. Guessing
// too much hides a value from a ledger; guessing too little leaks a key.
var secretWords = []string{
	"auth", "token", "secret", "passw", "api-key", "apikey", "access-key", "cookie", "session",
	"signature", "credential", "private", "csrf", "xsrf",
}

func secretHeader(name string) bool {
	switch name { // the common ones that never are, without a search
	case "Accept", "Accept-Encoding", "User-Agent", "Content-Type", "Idempotency-Key":
		return false
	}
	name = strings.ToLower(name)
	if strings.HasSuffix(name, "-key") {
		return true
	}
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}
