package policy

import (
	"fmt"
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// Anonymous is the caller that has not proved who it is.
const Anonymous = "anonymous"

// identities reads callers' names and operators.
func (c *compiler) identities(file *policyv1.Policy, s *Snapshot) {
	c.callers = []string{Anonymous}
	seen := map[string]bool{}
	for i, in := range file.GetCallers() {
		path := fmt.Sprintf("callers[%d]", i)
		switch name := in.GetName(); {
		case name == Anonymous:
			c.failf(path+".name", "%q is who has not proved who it is, and needs no entry", name)
		case name == System:
			c.failf(path+".name", "%q is fetchsvc itself: choose another name", name)
		case seen[name]:
			c.failf(path+".name", "caller %q is defined twice", name)
		}
		seen[in.GetName()] = true
		c.callers = append(c.callers, in.GetName())
	}
	s.Callers = c.callers[1:]
	for i, pattern := range file.GetOperators() {
		at := fmt.Sprintf("operators[%d]", i)
		g, err := parseNameGlob(pattern)
		switch {
		case err != nil:
			c.fail(at, err)
		case !strings.Contains(pattern, "*") && pattern != Anonymous && !seen[pattern]:
			c.failf(at, "there is no caller %q: list it under `callers`%s", pattern, didYouMean(pattern, c.callers))
		}
		s.operators = append(s.operators, g)
	}
}
