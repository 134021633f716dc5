package policy

import (
	"fmt"
	"slices"
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// ruled are the messages that say which calls they are about: Allow, Deny and
// Route.
type ruled interface {
	GetCallers() []string
	GetMethods() []string
	GetPaths() []string
	GetClaims() map[string]string
}

// isEmptyRule says that in names no calls in particular.
func isEmptyRule(in ruled) bool {
	return len(in.GetCallers())+len(in.GetMethods())+len(in.GetPaths())+len(in.GetClaims()) == 0
}

// rule is a set of calls: those that match every list that is not empty.
type rule struct {
	callers []nameGlob
	methods methodSet
	paths   []glob
	claims  claimSet
	// How the file has them, for those who ask.
	text ruled
	// broken: a list has a fault, so the rule is wider here than it was meant.
	broken bool
}

// part is one of a rule's lists.
type part uint8

const (
	nothing part = iota
	byCaller
	byMethod
	byPath
	byClaim
)

// misses gives the list that keeps a call out of the rule; nothing: it is in.
func (r *rule) misses(q *Query, path decodedPath) part {
	switch {
	case len(r.callers) > 0 && !slices.ContainsFunc(r.callers, func(g nameGlob) bool { return g.match(q.Caller) }):
		return byCaller
	case !r.methods.empty() && !r.methods.has(q.Method):
		return byMethod
	case len(r.paths) > 0 && !slices.ContainsFunc(r.paths, func(g glob) bool { return g.match(path) }):
		return byPath
	case len(r.claims) > 0 && r.claims.missing(q.Claims) != "":
		return byClaim
	}
	return nothing
}

// covers says that every call of other is one of r.
func (r *rule) covers(other *rule) bool {
	return !r.broken && !other.broken &&
		(len(r.callers) == 0 || len(other.callers) > 0 && all(other.callers, r.callers, nameGlob.covers)) &&
		(r.methods.empty() || !other.methods.empty() && r.methods.covers(other.methods)) &&
		(len(r.paths) == 0 || len(other.paths) > 0 && all(other.paths, r.paths, glob.covers)) &&
		r.claims.covers(other.claims)
}

// all says that each of inner is covered by one of outer.
func all[T any](inner, outer []T, covers func(T, T) bool) bool {
	for _, i := range inner {
		if !slices.ContainsFunc(outer, func(o T) bool { return covers(o, i) }) {
			return false
		}
	}
	return true
}

// moreSpecific orders the entries of routes, which have one path at most: by
// path, then by methods, callers and claims; a narrower list goes first.
func (r *rule) moreSpecific(other *rule) int {
	switch {
	case len(r.paths) != len(other.paths):
		return len(other.paths) - len(r.paths)
	case len(r.paths) > 0 && r.paths[0].moreSpecific(other.paths[0]) != 0:
		return r.paths[0].moreSpecific(other.paths[0])
	}
	if n := narrower(r.methods.empty(), other.methods.empty(), r.methods.covers(other.methods), other.methods.covers(r.methods)); n != 0 {
		return n
	}
	if n := narrower(len(r.callers) == 0, len(other.callers) == 0,
		all(other.callers, r.callers, nameGlob.covers), all(r.callers, other.callers, nameGlob.covers)); n != 0 {
		return n
	}
	return narrower(len(r.claims) == 0, len(other.claims) == 0, r.claims.covers(other.claims), other.claims.covers(r.claims))
}

// narrower orders two lists, of which an empty one is about everything.
func narrower(empty, otherEmpty, covers, covered bool) int {
	switch {
	case empty != otherEmpty && empty, empty == otherEmpty && covers && !covered:
		return 1
	case empty != otherEmpty, covered && !covers:
		return -1
	}
	return 0
}

// entriesOf sorts routes by path, so that a route with several is as specific for
// each as that one is.
func entriesOf(routes []*Route) []entry {
	var out []entry
	for _, r := range routes {
		if len(r.rule.paths) == 0 {
			out = append(out, entry{rule: r.rule, route: r})
		}
		for i := range r.rule.paths {
			one := r.rule
			one.paths = one.paths[i : i+1]
			out = append(out, entry{one, r, r.rule.text.GetPaths()[i]})
		}
	}
	slices.SortStableFunc(out, func(a, b entry) int { return a.rule.moreSpecific(&b.rule) })
	return out
}

// takenFirst names the routes that take every call of r before it comes to r;
// empty: there are calls left for it.
func (up *Upstream) takenFirst(r *Route) string {
	var first []string
	for i, e := range up.entries {
		if e.route != r {
			continue
		}
		at := slices.IndexFunc(up.entries[:i], func(o entry) bool { return o.route != r && o.rule.covers(&e.rule) })
		if at < 0 {
			return ""
		}
		if name := up.entries[at].route.Name; !slices.Contains(first, name) {
			first = append(first, name)
		}
	}
	return strings.Join(first, " and ")
}

// String is the rule as the file has it.
func (r *rule) String() string {
	var parts []string
	for _, l := range []struct {
		name   string
		values []string
	}{{"callers", r.text.GetCallers()}, {"methods", r.text.GetMethods()}, {"paths", r.text.GetPaths()}, {"claims", r.claims.words()}} {
		if len(l.values) > 0 {
			parts = append(parts, l.name+" ["+clipList(l.values)+"]")
		}
	}
	return strings.Join(parts, ", ")
}

// denyRule is one rule of `deny`.
type denyRule struct {
	rule
	// name is where it stands in the file: `deny` or `deny.rules[0]`.
	name   string
	report bool
}

// access is who may call an upstream.
type access struct {
	allow rule
	deny  []denyRule
	// report: refusals are logged and let pass.
	report bool
	// paths: some rule looks at the path; ambiguous ones then are refused unless
	// loose.
	paths, loose bool
}

func (c *compiler) access(path string, in *policyv1.Upstream) access {
	a := access{report: in.GetMode() == "report", loose: in.GetUnsafeAmbiguousPaths()}
	if allow := in.GetAllow(); allow != nil {
		a.allow = c.rule(path+".allow", allow)
		if isEmptyRule(allow) {
			c.failf(path+".allow", "without callers, methods, paths or claims it allows everything: give some, or take it out")
		}
	}
	a.deny = c.denies(path+".deny", "deny", in.GetDeny())
	a.paths = len(a.allow.paths) > 0
	for i := range a.deny {
		a.paths = a.paths || len(a.deny[i].paths) > 0
	}
	for _, r := range in.GetRoutes() {
		a.paths = a.paths || len(r.GetPaths()) > 0
	}
	if a.loose && !a.paths {
		c.warn(path+".unsafe_ambiguous_paths", "no rule of the upstream looks at paths, so none is refused for being ambiguous: leave it out")
	}
	return a
}

func (c *compiler) denies(path, name string, in *policyv1.Deny) []denyRule {
	if in == nil {
		return nil
	}
	own := !isEmptyRule(in)
	var out []denyRule
	for i, r := range in.GetRules() {
		at := fmt.Sprintf("rules[%d]", i)
		if len(r.GetRules()) > 0 {
			c.failf(path+"."+at+".rules", "rules do not nest: put them into one list")
			continue
		}
		out = append(out, c.denies(path+"."+at, name+"."+at, r)...)
	}
	switch {
	case in.GetMode() != "" && len(in.GetRules()) > 0:
		c.failf(path+".mode", "each rule of the list has a mode of its own: write it there")
	case own && len(in.GetRules()) > 0:
		c.failf(path+".rules", "there are callers, methods, paths or claims beside it: make them a rule of the list too")
	case !own && len(in.GetRules()) == 0:
		c.failf(path, "a deny rule needs callers, methods, paths or claims, and refuses what matches all that are given; to refuse everything, leave the upstream out")
	case own:
		d := denyRule{rule: c.rule(path, in), name: name, report: in.GetMode() == "report"}
		d.methods.fold = true
		out = append(out, d)
	}
	return out
}

// rule reads the lists.
func (c *compiler) rule(path string, in ruled) rule {
	r, before := rule{text: in}, len(c.problems)
	for i, s := range in.GetCallers() {
		at := fmt.Sprintf("%s.callers[%d]", path, i)
		g, err := parseNameGlob(s)
		if err != nil {
			c.fail(at, err)
			continue
		}
		if !strings.Contains(s, "*") && !slices.Contains(c.callers, s) {
			c.failf(at, "there is no caller %q: list it under `callers`%s", s, didYouMean(s, c.callers))
		}
		r.callers = append(r.callers, g)
	}
	if len(in.GetMethods()) > 0 {
		r.methods = c.methods(path+".methods", r.methods, in.GetMethods())
	}
	for i, s := range in.GetPaths() {
		g, err := parseGlob(s)
		if err != nil {
			c.fail(fmt.Sprintf("%s.paths[%d]", path, i), err)
			continue
		}
		r.paths = append(r.paths, g)
	}
	r.claims = c.claims(path+".claims", in.GetClaims())
	if len(in.GetClaims()) > 0 && !c.issues {
		c.failf(path+".claims", "no call has claims, because there are no `issuers` of tokens: list who signs them")
	}
	r.broken = len(c.problems) > before
	return r
}

// shadows finds rules that no call can reach.
func (c *compiler) shadows(path string, up *Upstream, in *policyv1.Upstream) {
	a := &up.access
	for i, g := range a.allow.paths {
		at := fmt.Sprintf("%s.allow.paths[%d]", path, i)
		for j, other := range a.allow.paths {
			if i != j && other.covers(g) && (j < i || !g.covers(other)) {
				c.failf(at, "%s is in %s already: leave one out", in.GetAllow().GetPaths()[i], in.GetAllow().GetPaths()[j])
				break
			}
		}
		for k := range a.deny {
			if d := &a.deny[k]; !d.report && len(d.callers) == 0 && d.methods.empty() && len(d.claims) == 0 && all([]glob{g}, d.paths, glob.covers) {
				c.failf(at, "it can never be allowed, because %s refuses all of it", d.name)
			}
		}
	}
	for i, r := range up.Routes {
		at := fmt.Sprintf("%s.routes[%d]", path, i)
		if first := up.takenFirst(r); first != "" {
			c.failf(at, "no call reaches it, because %s takes all of them first", first)
		}
		for k := range a.deny {
			if d := &a.deny[k]; !d.report && d.covers(&r.rule) {
				c.failf(at, "no call reaches it, because %s refuses all of them", d.name)
			}
		}
		if !a.allow.methods.empty() && !r.rule.methods.empty() && !a.allow.methods.overlaps(r.rule.methods) {
			c.failf(at+".methods", "no call reaches it, because `allow` has other methods only: [%s]", clipList(in.GetAllow().GetMethods()))
		}
	}
}

// empty says that the file gives no methods.
func (m methodSet) empty() bool { return !m.any && len(m.names) == 0 }

// overlaps says that m and o have a method in common.
func (m methodSet) overlaps(o methodSet) bool {
	return m.any || o.any || slices.ContainsFunc(m.names, o.has)
}
