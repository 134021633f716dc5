package server

import (
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// overLimit is one of a caller's limits that a call was over.
type overLimit struct {
	caller, limit string
	value         int
}

// tooManyCalls refuses a call for want of a place. When one will be free nobody
// knows; a second is what a client can wait without harm.
func tooManyCalls(caller string, b *quotaBounds) *failure {
	f := fault.Newf(fault.TooManyCalls, "caller %q has %d calls in flight, as many as its limits.concurrent allows: call again when one is over", caller, b.Concurrent)
	f.SafeToRetry, f.RetryAfter = true, time.Second
	return &failure{fault: f, over: &overLimit{caller, "limits.concurrent", b.Concurrent}}
}

// rateLimited refuses a call that came too early by wait.
func rateLimited(caller string, b *quotaBounds, wait time.Duration) *failure {
	f := fault.Newf(fault.RateLimited, "caller %q began more calls than its limits.per_second of %d and its burst of %d allow: call again later", caller, b.PerSecond, b.Burst)
	f.SafeToRetry, f.RetryAfter = true, wait
	return &failure{fault: f, over: &overLimit{caller, "limits.per_second", b.PerSecond}}
}

// quotaFailure is the same for machines.
func (o *overLimit) quotaFailure() *errdetails.QuotaFailure {
	return &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{
		Subject: "caller:" + o.caller, Description: fmt.Sprintf("%s is %d", o.limit, o.value),
	}}}
}
