package policy

import (
	"cmp"
	"fmt"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// defaultCallerConcurrent bounds the calls of a caller that has no other limit.
const defaultCallerConcurrent = 1000

// CallerLimits bound what one caller may do.
type CallerLimits struct {
	// Concurrent is how many of its calls may be in flight at once; 0: any number.
	Concurrent int
	// PerSecond is how many it may begin a second, on average; 0: any number. Burst
	// is how many it may begin at once after a quiet time, and 0 without a rate.
	PerSecond, Burst int
}

// callerLimits are those of all callers.
type callerLimits struct {
	all CallerLimits
	own map[string]CallerLimits // of callers that have some
}

func builtinCallerLimits() callerLimits {
	return callerLimits{all: CallerLimits{Concurrent: defaultCallerConcurrent}}
}

// CallerLimits gives the limits of a caller: its own, and else those of all, which
// hold for Anonymous and for a name that the policy does not have too. System, who
// is fetchsvc itself, has none.
func (s *Snapshot) CallerLimits(caller string) CallerLimits {
	if caller == System {
		return CallerLimits{}
	}
	if own, ok := s.callerLimits.own[caller]; ok {
		return own
	}
	return s.callerLimits.all
}

// callerLimits reads `caller_limits`, and then each caller's own.
func (c *compiler) callerLimits(file *policyv1.Policy, s *Snapshot) {
	s.callerLimits = builtinCallerLimits()
	all := c.layCallerLimits("caller_limits", s.callerLimits.all, file.GetCallerLimits())
	s.callerLimits.all = all.settled()
	for i, in := range file.GetCallers() {
		if in.GetLimits() == nil {
			continue
		}
		if s.callerLimits.own == nil {
			s.callerLimits.own = map[string]CallerLimits{}
		}
		own := c.layCallerLimits(fmt.Sprintf("callers[%d].limits", i), all, in.GetLimits())
		s.callerLimits.own[in.GetName()] = own.settled()
	}
}

// layCallerLimits lays what the file has at path over base, member by member.
func (c *compiler) layCallerLimits(path string, base CallerLimits, in *policyv1.CallerLimits) CallerLimits {
	if in == nil {
		return base
	}
	out := CallerLimits{
		Concurrent: override(base.Concurrent, number(in.Concurrent)),
		PerSecond:  override(base.PerSecond, number(in.PerSecond)),
		Burst:      override(base.Burst, number(in.Burst)),
	}
	switch {
	case in.Burst != nil && out.PerSecond == 0:
		c.failf(path+".burst", "there is no burst without `per_second`: set both")
	case in.Concurrent == nil && in.PerSecond == nil && in.Burst == nil:
		c.warn(path, "it limits nothing: set concurrent, per_second or burst, or leave it out")
	}
	return out
}

// settled fills in what follows from the rest.
func (l CallerLimits) settled() CallerLimits {
	l.Burst = cmp.Or(l.Burst, l.PerSecond)
	return l
}
