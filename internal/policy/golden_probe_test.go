package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// probe is one question and what became of it.
type probe struct {
	golden   *golden
	snapshot *Snapshot
	method   string
	url      target.URL
	route    *Route // nil: denied, or the question is about the policy
	trace    *Trace
	said     Decision
	denial   error
	decision string // as text
}

func newProbe(g *golden, s *Snapshot, question string) *probe {
	p := &probe{golden: g, snapshot: s}
	if question == "policy" {
		return p
	}
	method, rest, _ := strings.Cut(question, " ")
	raw, caller, ok := strings.Cut(rest, " as ")
	if !ok {
		caller = Anonymous
	}
	var claims map[string]any
	caller, token, hasToken := strings.Cut(caller, " with ")
	if hasToken {
		if err := json.Unmarshal([]byte(token), &claims); err != nil {
			p.decision = "    -> no claims: " + err.Error() + "\n"
			return p
		}
	}
	u, err := target.Parse(raw)
	if err != nil {
		p.decision = "    -> no URL: " + err.Error() + "\n"
		return p
	}
	q := Query{Caller: caller, Claims: claims, Method: method, URL: u}
	d, err := s.Decide(q)
	told, trace, tellErr := s.Explain(q)
	p.trace, p.method, p.url, p.said, p.denial = trace, method, u, d, err
	switch {
	case told != d || fmt.Sprint(err) != fmt.Sprint(tellErr):
		p.decision = fmt.Sprintf("    -> Decide and Explain differ: %v, %v\n", err, tellErr)
		return p
	case errors.Is(err, fault.PolicyDenied):
		p.decision = "    -> denied: " + err.Error() + "\n"
		return p
	case err != nil:
		p.decision = "    -> fails: " + err.Error() + "\n"
		return p
	}
	p.route = d.Route
	p.decision = "    -> " + strings.TrimSpace(d.Route.Upstream.Name+" "+d.Route.Name) + "\n"
	if d.Reported != "" {
		p.decision += "    report: " + d.Reported + "\n"
	}
	return p
}

// ask answers one indented line.
func (p *probe) ask(key string) string {
	if key != "trace" {
		return "    " + key + " = " + p.value(key) + "\n"
	}
	text := "    trace\n"
	for _, r := range p.trace.Rules {
		sign := "-"
		if r.Matched {
			sign = "+"
		}
		text += "      " + sign + " " + r.Rule + ": " + r.Reason + "\n"
	}
	if p.trace.More > 0 {
		text += fmt.Sprintf("      %d more\n", p.trace.More)
	}
	return text
}
