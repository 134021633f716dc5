package policy

import (
	"fmt"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Query is what policy is asked about: one hop of a call.
type Query struct {
	// Caller is the verified identity, or Anonymous.
	Caller string
	// Claims are those of the caller's token, verified; nil: there is none.
	Claims map[string]any
	Method string
	URL    target.URL
}

// Decision is what policy says of a hop that may be made.
type Decision struct {
	Route *Route
	// Reported is what would have been refused, were its rule enforced; empty:
	// nothing.
	Reported string
	// ReportedRule is that rule, as in fault.Error.
	ReportedRule string
	// Template is the path of the route that matched, as the file has it, such as
	// `/repos/**`; empty: it has none.
	Template string
}

// Decide says whether a hop may be made, and under which settings. The most
// specific host pattern chooses the upstream: exact before wildcard, longer
// wildcard before shorter, named port before `:*`. There deny beats allow, and the
// most specific route holds. A refusal is fault.PolicyDenied and names the rule,
// or the nearest where nothing matched.
func (s *Snapshot) Decide(q Query) (Decision, error) { return s.decide(q, nil) }

// Match gives the upstream that u belongs to, whoever may call it.
func (s *Snapshot) Match(u target.URL) (*Upstream, error) {
	if up := walk(endpointOf(u), s.index.find); up != nil {
		return up, nil
	}
	return nil, s.denied(u)
}

// Operator says that caller may ask Explain about others.
func (s *Snapshot) Operator(caller string) bool {
	for _, g := range s.operators {
		if g.match(caller) {
			return true
		}
	}
	return false
}

// decide notes in tr, unless it is nil, which rules it looked at.
func (s *Snapshot) decide(q Query, tr *Trace) (Decision, error) {
	up, err := s.Match(q.URL)
	tr.hosts(s, up, q.URL)
	if err != nil {
		return Decision{}, err
	}
	return up.decide(q, tr)
}

// decide goes through the rules of up.
func (up *Upstream) decide(q Query, tr *Trace) (Decision, error) {
	d := Decision{Route: up.Base}
	var path decodedPath
	if up.access.paths {
		doubt := ""
		if path, doubt = decodePath(q.URL.Path); doubt != "" && !up.access.loose {
			tr.note(rulePaths, true, "the path is ambiguous: "+doubt)
			if err := up.refuse(&d, up.access.report, rulePaths, q, "rules of upstream %q look at paths, and this one can be read in different ways: %s", up.Name, doubt); err != nil {
				return d, err
			}
			tr.passed()
		}
	}
	for i := range up.access.deny {
		rule := &up.access.deny[i]
		missed := rule.misses(&q, path)
		tr.rule(rule.name, &rule.rule, missed, q)
		if missed != nothing {
			continue
		}
		if err := up.refuse(&d, up.access.report || rule.report, rule.name, q, "%s of upstream %q refuses it (%s)", rule.name, up.Name, &rule.rule); err != nil {
			return d, err
		}
		tr.passed()
	}
	if allow := &up.access.allow; allow.text != nil {
		missed := allow.misses(&q, path)
		tr.rule(ruleAllow, allow, missed, q)
		if missed != nothing {
			if err := up.refuse(&d, up.access.report, ruleAllow, q, "upstream %q allows %s", up.Name, allow.only(missed, q)); err != nil {
				return d, err
			}
			tr.passed()
		}
	}
	for i := range up.entries {
		e := &up.entries[i]
		missed := e.rule.misses(&q, path)
		tr.entry(e, missed, q)
		if missed == nothing {
			d.Route, d.Template = e.route, e.path
			break
		}
	}
	return d, nil
}

// refuse is the error, or only a note of it where the rule is in report mode.
func (up *Upstream) refuse(d *Decision, report bool, rule string, q Query, format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if report {
		if d.Reported == "" {
			d.Reported, d.ReportedRule = reason, rule
		}
		return nil
	}
	return refusal(rule, "%s %s is denied to caller %q: %s", q.Method, q.URL.Place(), q.Caller, reason)
}

// The rules of a refusal that are not of `deny`, whose rules are named by their place.
const (
	ruleHosts = "hosts" // no upstream has the host
	rulePaths = "paths" // the path is ambiguous
	ruleAllow = "allow"
)

// refusal says that rule refuses a call, and why.
func refusal(rule, format string, args ...any) error {
	err := fault.Newf(fault.PolicyDenied, format, args...)
	err.Rule = rule
	return err
}

// of is what of q is not in the list; not for claims.
func (p part) of(q Query) string {
	switch p {
	case byCaller:
		return fmt.Sprintf("%q", q.Caller)
	case byMethod:
		return q.Method
	default:
		return clipPath(q.URL.Path)
	}
}

// only says what the rule is about and q is not of. It does not tell one caller
// which others there are, nor what their tokens say.
func (r *rule) only(p part, q Query) string {
	switch p {
	case byCaller:
		return "other callers only"
	case byClaim:
		return fmt.Sprintf("calls with another claim %q only", r.claims.missing(q.Claims))
	}
	return r.list(p) + " only, and " + p.of(q) + " is not among them"
}

// list is the rule's list that p names, as the file has it.
func (r *rule) list(p part) string {
	switch p {
	case byCaller:
		return "callers [" + clipList(r.text.GetCallers()) + "]"
	case byMethod:
		return "methods [" + clipList(r.text.GetMethods()) + "]"
	default:
		return "paths [" + clipList(r.text.GetPaths()) + "]"
	}
}

func clipPath(p string) string {
	const most = 200
	if p == "" {
		return "/"
	}
	if len(p) > most {
		return strings.ToValidUTF8(p[:most], "") + "…"
	}
	return p
}
