package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// Trace is what Decide looked at, in its order.
type Trace struct {
	Rules []Considered
	// More counts upstreams that have nothing to do with the URL's host.
	More int

	noted map[*Route]bool
}

// Considered is one rule that was looked at.
type Considered struct {
	// Rule is where it stands: `upstream github`, `deny`, `allow`, `routes[0]`.
	Rule string
	// Matched says that it holds.
	Matched bool
	// Reason says why, or why not.
	Reason string
}

// Explain is Decide, and tells what it looked at: it is the same code.
func (s *Snapshot) Explain(q Query) (Decision, *Trace, error) {
	tr := &Trace{}
	d, err := s.decide(q, tr)
	return d, tr, err
}

func (tr *Trace) note(rule string, matched bool, reason string) {
	if tr != nil {
		tr.Rules = append(tr.Rules, Considered{rule, matched, reason})
	}
}

func (tr *Trace) rule(name string, r *rule, missed part, q Query) {
	if tr == nil {
		return
	}
	if missed == nothing {
		tr.note(name, true, "it has "+r.String())
		return
	}
	switch missed { // names and claims of others are nobody's business
	case byCaller:
		tr.note(name, false, fmt.Sprintf("%q is not among its callers", q.Caller))
		return
	case byClaim:
		tr.note(name, false, fmt.Sprintf("claim %q of the call's token is missing, or not what it asks for", r.claims.missing(q.Claims)))
		return
	}
	tr.note(name, false, fmt.Sprintf("%s is not in %s", missed.of(q), r.list(missed)))
}

// entry notes a route once, however many paths it has: as missed by all of them,
// or as matched.
func (tr *Trace) entry(e *entry, missed part, q Query) {
	if tr == nil {
		return
	}
	if tr.noted == nil {
		tr.noted = map[*Route]bool{}
	}
	switch {
	case !tr.noted[e.route]:
		tr.noted[e.route] = true
	case missed != nothing:
		return
	default:
		tr.Rules = slices.DeleteFunc(tr.Rules, func(c Considered) bool { return c.Rule == e.route.Name })
	}
	tr.rule(e.route.Name, &e.route.rule, missed, q)
}

// passed notes that the last rule would have refused the call, were it enforced.
func (tr *Trace) passed() {
	if tr != nil {
		tr.Rules[len(tr.Rules)-1].Reason += "; in report mode the call passes"
	}
}

// hosts tells which upstreams list u's host, and why won took it.
func (tr *Trace) hosts(s *Snapshot, won *Upstream, u target.URL) {
	if tr == nil {
		return
	}
	for _, up := range s.Upstreams {
		switch pattern, near := up.nearest(u); {
		case up == won:
			tr.note("upstream "+up.Name, true, fmt.Sprintf("%s is the most specific pattern for %s", pattern, u.Scheme+"://"+u.DialAddr()))
		case pattern == "":
			tr.More++
		case near != "":
			tr.note("upstream "+up.Name, false, fmt.Sprintf("%s has the host, but %s", pattern, near))
		case won != nil:
			tr.note("upstream "+up.Name, false, fmt.Sprintf("%s matches too, and is less specific than what upstream %s lists", pattern, won.Name))
		}
	}
}

// nearest gives the most specific of up's patterns that has u's host, preferring
// one that matches outright, and what is wrong with it, if anything is.
func (up *Upstream) nearest(u target.URL) (pattern, reason string) {
	best, right := endpoint{}, false
	for _, p := range up.Hosts {
		at, hasPort, err := parsePattern(p)
		if err != nil || !at.coversHost(endpoint{host: u.Host.Name, kind: exact}) || u.Host.IsAddr() && at.kind == wildcard {
			continue
		}
		wrong := up.misfit(at, hasPort, u)
		if pattern != "" && (right && wrong != "" || right == (wrong == "") && !at.before(best)) {
			continue
		}
		pattern, reason, best, right = p, wrong, at, wrong == ""
	}
	return pattern, reason
}

// misfit says why a pattern that has u's host does not match u.
func (up *Upstream) misfit(at endpoint, hasPort bool, u target.URL) string {
	byScheme := false
	for _, s := range up.Schemes {
		byScheme = byScheme || s == u.Scheme
	}
	switch {
	case !byScheme:
		return fmt.Sprintf("it is reached by [%s] only", strings.Join(up.Schemes, ", "))
	case !hasPort && u.Port != target.DefaultPort(u.Scheme):
		return fmt.Sprintf("names no port, which means %d", target.DefaultPort(u.Scheme))
	case hasPort && at.port != anyPort && at.port != u.Port:
		return fmt.Sprintf("the port is %d", at.port)
	}
	return ""
}

// before orders patterns that have the same host: the more specific first.
func (at endpoint) before(other endpoint) bool {
	if at.kind != other.kind {
		return at.kind < other.kind
	}
	return len(at.host) > len(other.host)
}
