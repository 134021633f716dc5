package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// node is a line of a tree and what hangs below it.
type node struct {
	text string
	kids []node
}

func (n *node) add(format string, args ...any) {
	n.kids = append(n.kids, node{text: fmt.Sprintf(format, args...)})
}

// writeTree draws n.
func writeTree(w io.Writer, n node) {
	fmt.Fprintln(w, visible(n.text))
	writeKids(w, n.kids, "")
}

func writeKids(w io.Writer, kids []node, indent string) {
	for i, k := range kids {
		branch, below := "├─ ", "│  "
		if i == len(kids)-1 {
			branch, below = "└─ ", "   "
		}
		fmt.Fprintln(w, indent+branch+visible(k.text))
		writeKids(w, k.kids, indent+below)
	}
}

// responseTree is the ledger of a call that was answered.
func responseTree(res *fetchsvcv1.FetchResponse) node { return answerTree("call", res) }

// answerTree is that of a call which has a name.
func answerTree(call string, res *fetchsvcv1.FetchResponse) node {
	root := node{text: fmt.Sprintf("%s: %d in %s, upstream %s, sent %s, received %s",
		call, res.GetStatus(), took(res.GetElapsed()), res.GetUpstream(), size(res.GetBytesSent()), size(res.GetBytesReceived()))}
	if coding := res.GetDecoded(); coding != "" {
		root.text += fmt.Sprintf(", %s decoded to %s", coding, size(res.GetBytesDecoded()))
	}
	if res.GetTruncated() {
		root.text += ", truncated"
	}
	root.kids = hopNodes(res.GetAttempts(), res.GetHistory())
	if why := res.GetRedirectStopped(); why != "" {
		root.add("the redirect was not followed: %s", why)
	}
	return root
}

// failureTree is the ledger of a call that was not.
func failureTree(l *fetchsvcv1.CallLedger) node {
	root := node{text: "what was tried:", kids: hopNodes(l.GetAttempts(), l.GetHistory())}
	if l.GetShortened() {
		root.add("(shortened to fit into the error)")
	}
	return root
}

// hopNodes gathers the attempts by hop. What is known of a hop that has none
// left, in a shortened ledger, is shown all the same.
func hopNodes(attempts []*fetchsvcv1.Attempt, history []*fetchsvcv1.Hop) []node {
	var hops []node
	for number := int32(0); len(attempts) > 0 || int(number) < len(history); number++ {
		n, known := node{}, false
		if int(number) < len(history) {
			n, known = hopNode(number, history[number]), true
		}
		for len(attempts) > 0 && attempts[0].GetHop() <= number {
			if !known {
				n, known = node{text: fmt.Sprintf("hop %d: %s %s", number, attempts[0].GetMethod(), attempts[0].GetUrl())}, true
			}
			n.kids = append(n.kids, attemptNode(attempts[0]))
			attempts = attempts[1:]
		}
		if known {
			hops = append(hops, n)
		}
	}
	return hops
}

func hopNode(number int32, h *fetchsvcv1.Hop) node {
	text := fmt.Sprintf("hop %d: %s %s: %d", number, h.GetMethod(), h.GetUrl(), h.GetStatus())
	if to := h.GetLocation(); to != "" {
		text += " to " + to
	}
	if dropped := h.GetDroppedHeaders(); len(dropped) > 0 {
		text += ", leaving behind " + strings.Join(dropped, ", ")
	}
	return node{text: text}
}

func attemptNode(a *fetchsvcv1.Attempt) node {
	n := node{text: fmt.Sprintf("attempt %d (%s)", a.GetNumber(), word(a.GetReason().String()))}
	if status := a.GetStatus(); status != 0 {
		n.text += fmt.Sprintf(": %d over HTTP/%s", status, a.GetHttpVersion())
	}
	if wait := a.GetWait().AsDuration(); wait > 0 {
		n.add("waited %s: %s", brief(wait), a.GetWaitReason())
	}
	if address := a.GetAddress(); address != "" {
		n.add("address: %s, %s", address, connection(a))
	}
	if proxy := a.GetProxy(); proxy != "" {
		n.add("proxy: %s", proxy)
	}
	if credential := a.GetCredential(); credential != "" {
		n.add("credential: %s", credential)
	}
	if times := timings(a.GetTimings()); times != "" {
		n.add("time: %s", times)
	}
	n.add("wire: %s, sent %s, received %s", word(a.GetWire().String()), size(a.GetBytesSent()), size(a.GetBytesReceived()))
	if e := a.GetError(); e != nil {
		n.add("error: %s: %s", e.GetReason(), e.GetMessage())
	}
	if stopped := a.GetStopped(); stopped != "" {
		n.add("no further attempt: %s", stopped)
	}
	return n
}

func connection(a *fetchsvcv1.Attempt) string {
	switch {
	case a.GetConnectionReused():
		return "reused connection"
	case a.GetTimings().GetConnection() == nil && a.GetWire() == fetchsvcv1.Attempt_UNSENT:
		return "no connection"
	default:
		return "new connection"
	}
}

// timings lists the phases that took place.
func timings(t *fetchsvcv1.Timings) string {
	var all []string
	for _, phase := range []struct {
		name string
		took *durationpb.Duration
	}{
		{"dns", t.GetDns()}, {"connect", t.GetConnect()}, {"tls", t.GetTls()}, {"connection", t.GetConnection()},
		{"send", t.GetSend()}, {"first byte", t.GetFirstByte()}, {"body", t.GetBody()}, {"total", t.GetTotal()},
	} {
		if phase.took != nil {
			all = append(all, phase.name+" "+took(phase.took))
		}
	}
	return strings.Join(all, ", ")
}

// word reads MAYBE_PROCESSED aloud.
func word(enum string) string { return strings.ToLower(strings.ReplaceAll(enum, "_", " ")) }

func took(d *durationpb.Duration) string { return brief(d.AsDuration()) }

// brief keeps the digits that matter.
func brief(d time.Duration) string {
	switch {
	case d >= time.Second:
		d = d.Round(time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}
