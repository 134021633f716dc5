package policy

import (
	"net/http"
	"time"
)

// What holds where the file says nothing.
const (
	defaultTotal          = 30 * time.Second
	defaultConnect        = 5 * time.Second
	defaultTLS            = 5 * time.Second
	defaultRequest        = 16 << 20
	defaultRequestHeader  = 1 << 20
	defaultResponse       = 3 << 20
	defaultResponseMax    = 64 << 20
	defaultResponseHeader = 256 << 10
	maxResponseHeader     = 10 << 20
	maxDecoded            = 1 << 40
	defaultRatio          = 200
	defaultConcurrency    = 16
	maxConcurrency        = 100
	defaultSpool          = 64 << 10
	maxSpool              = 16 << 20
	defaultRedirects      = 10
	maxRedirects          = 50
	defaultRest           = time.Minute
	defaultKeepSlower     = 10 * time.Second
)

// builtin are the settings of a file that sets none.
func builtin() Settings {
	repeatable, _ := parseMethods([]string{
		http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete,
	})
	keyed, _ := parseMethods([]string{http.MethodPost, http.MethodPatch})
	return Settings{
		Timeouts: Timeouts{
			Total:   Clock{Default: defaultTotal, Max: defaultTotal},
			Connect: Clock{Default: defaultConnect, Max: defaultConnect},
			TLS:     defaultTLS,
		},
		Sizes: Sizes{
			Request: defaultRequest, RequestHeader: defaultRequestHeader,
			Response: Bound[int64]{Default: defaultResponse, Max: defaultResponseMax},
			Ratio:    defaultRatio, ResponseHeader: defaultResponseHeader,
		},
		Retry: Retry{
			MaxAttempts: Bound[int]{Default: 1, Max: 1},
			Backoff:     Backoff{Base: 100 * time.Millisecond, Max: 5 * time.Second, Jitter: "auto"},
			Connect:     -1, Read: -1, Status: -1, Other: -1,
			Statuses:          []int{408, 425, 429, 502, 503, 504},
			RetryAfterMax:     60 * time.Second,
			IdempotencyHeader: "Idempotency-Key",
			Spool:             defaultSpool,
			methods:           repeatable, keyMethods: keyed,
		},
		Redirects: Redirects{
			Mode:  Bound[RedirectMode]{Default: RedirectAny, Max: RedirectAny},
			Limit: Bound[int]{Default: defaultRedirects, Max: maxRedirects},
		},
	}
}

func builtinBudget() Budget {
	return Budget{Ratio: 0.2, Min: 10, Window: 10 * time.Second}
}

func builtinTracing() Tracing {
	return Tracing{Sample: -1, KeepSlower: defaultKeepSlower, KeepFailed: true}
}
