package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// explanationText is the answer for people: the verdict, the rules, the settings,
// the attempts, the addresses. all shows the settings too that nobody set.
func explanationText(res *fetchsvcv1.ExplainResponse, req *fetchsvcv1.FetchRequest, all bool) string {
	var b strings.Builder
	writeVerdict(&b, res, req)
	writeRules(&b, res)
	writeSettings(&b, res.GetSettings(), all)
	writeSchedule(&b, res.GetSchedule())
	writeAddresses(&b, res.GetAddresses())
	return b.String()
}

func writeVerdict(w io.Writer, res *fetchsvcv1.ExplainResponse, req *fetchsvcv1.FetchRequest) {
	caller, call := visible(res.GetCaller()), visible(req.GetMethod())+" "+urlText(req.GetUrl())
	if res.GetAllowed() {
		fmt.Fprintf(w, "✓ %s may %s: %s\n", caller, call, visible(res.GetReason()))
	} else {
		fmt.Fprintf(w, "✗ %s %s %s: %s\n  %s\n", caller, hindered(res.GetDeniedKind()), call, res.GetDeniedKind(), visible(res.GetReason()))
	}
	if res.GetReported() != "" {
		fmt.Fprintf(w, "! only because of report mode: %s\n", visible(res.GetReported()))
	}
}

// hindered tells what is not allowed from what does not work.
func hindered(kind string) string {
	switch fault.Kind(kind) {
	case fault.PolicyDenied, fault.AddressDenied, fault.NotGranted:
		return "may not"
	}
	return "cannot"
}

// urlText is a URL without what may be secret in it.
func urlText(url string) string {
	u, err := target.Parse(url)
	if err != nil {
		return "that URL"
	}
	return visible(u.Redacted())
}

func writeRules(w io.Writer, res *fetchsvcv1.ExplainResponse) {
	rules, others := res.GetRules(), res.GetOtherUpstreams()
	if len(rules) == 0 && others == 0 {
		return
	}
	fmt.Fprint(w, "\nRules (✓ holds for the call, ✗ does not)\n")
	t := table(w)
	for i, r := range rules {
		ends := i == len(rules)-1 && res.GetDeniedKind() == string(fault.PolicyDenied)
		fmt.Fprintf(t, "  %s %s\t%s\n", mark(r.GetMatched()), visible(r.GetRule()), visible(ruleReason(r, ends)))
	}
	_ = t.Flush()
	switch {
	case len(rules) == 0:
		fmt.Fprintf(w, "  ✗ %s, none of which lists the host\n", number(int(others), "upstream"))
	case others == 1:
		fmt.Fprint(w, "  1 other upstream does not list the host\n")
	case others > 1:
		fmt.Fprintf(w, "  %d other upstreams do not list the host\n", others)
	}
}

// ruleReason says where holding means to refuse: a deny rule, or a path that rules
// could not be held to. ends: the call is denied there; else the rule is in report
// mode.
func ruleReason(r *fetchsvcv1.Rule, ends bool) string {
	switch {
	case !r.GetMatched() || !strings.HasPrefix(r.GetRule(), "deny") && r.GetRule() != "paths":
		return r.GetReason()
	case ends:
		return "refuses the call: " + r.GetReason()
	default:
		return "would refuse the call: " + r.GetReason()
	}
}

const builtIn = "built in"

// writeSettings shows whole groups; those that nobody set only by name.
func writeSettings(w io.Writer, settings []*fetchsvcv1.Setting, all bool) {
	if len(settings) == 0 {
		return
	}
	set := map[string]bool{}
	for _, s := range settings {
		set[groupOf(s)] = set[groupOf(s)] || s.GetSource() != builtIn
	}
	fmt.Fprint(w, "\nSettings\n")
	t := table(w)
	var hidden []string
	for _, s := range settings {
		switch group := groupOf(s); {
		case all || set[group]:
			fmt.Fprintf(t, "  %s\t%s\t%s\n", s.GetName(), visible(s.GetValue()), visible(s.GetSource()))
		case len(hidden) == 0 || hidden[len(hidden)-1] != group:
			hidden = append(hidden, group)
		}
	}
	_ = t.Flush()
	if len(hidden) > 0 {
		fmt.Fprintf(w, "  built in (-v shows them): %s\n", strings.Join(hidden, ", "))
	}
}

// groupOf is `timeouts` of `timeouts.total`.
func groupOf(s *fetchsvcv1.Setting) string {
	group, _, _ := strings.Cut(s.GetName(), ".")
	return group
}

func writeSchedule(w io.Writer, schedule []*fetchsvcv1.ScheduledAttempt) {
	if len(schedule) == 0 {
		return
	}
	fmt.Fprint(w, "\nAttempts, if each fails and takes all its time\n")
	t := table(w)
	fmt.Fprint(t, "  number\twait before it\tstarts by\tmay take\n")
	for _, s := range schedule {
		wait := "-"
		if s.GetNumber() > 1 {
			wait = waitText(s.GetWaitMin().AsDuration(), s.GetWaitMax().AsDuration())
		}
		limit := took(s.GetLimit())
		if !s.GetFits() {
			limit = "nothing: the total is over"
		}
		fmt.Fprintf(t, "  %d\t%s\t%s\t%s\n", s.GetNumber(), wait, took(s.GetStarts()), limit)
	}
	_ = t.Flush()
}

func waitText(least, most time.Duration) string {
	if least == most {
		return brief(most)
	}
	return brief(least) + " to " + brief(most)
}

func writeAddresses(w io.Writer, addresses []*fetchsvcv1.AddressVerdict) {
	if len(addresses) == 0 {
		return
	}
	fmt.Fprint(w, "\nAddresses\n")
	t := table(w)
	for _, a := range addresses {
		reason := a.GetReason()
		if a.GetAllowed() {
			reason = "may be reached"
		}
		fmt.Fprintf(t, "  %s %s\t%s\n", mark(a.GetAllowed()), visible(a.GetAddress()), visible(reason))
	}
	_ = t.Flush()
}

func mark(good bool) string {
	if good {
		return "✓"
	}
	return "✗"
}

// table aligns columns by two spaces.
func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }
