package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// httpHead is a first line and headers, as curl shows them.
type httpHead struct {
	first  string
	fields []*fetchsvcv1.Field
}

// responseHeads are those of the redirects that were followed and of the answer.
func responseHeads(res *fetchsvcv1.FetchResponse) []httpHead {
	versions := map[int32]string{} // by hop: the last attempt's
	for _, a := range res.GetAttempts() {
		versions[a.GetHop()] = a.GetHttpVersion()
	}
	heads := hopHeads(res.GetHistory(), versions)
	return append(heads, httpHead{statusLine(res.GetHttpVersion(), res.GetStatus(), res.GetReason()), res.GetHeaders()})
}

func hopHeads(hops []*fetchsvcv1.Hop, versions map[int32]string) []httpHead {
	heads := make([]httpHead, 0, len(hops)+1)
	for i, h := range hops {
		version := versions[int32(i)]
		reason := ""
		if version != "2" {
			reason = http.StatusText(int(h.GetStatus())) // the API does not keep a hop's own
		}
		heads = append(heads, httpHead{statusLine(version, h.GetStatus(), reason), h.GetHeaders()})
	}
	return heads
}

func statusLine(version string, status int32, reason string) string {
	return fmt.Sprintf("HTTP/%s %d %s", cmp.Or(version, "1.1"), status, reason)
}

// requestHead is what an attempt sent.
func requestHead(a *fetchsvcv1.Attempt) httpHead {
	target := a.GetUrl()
	if _, rest, ok := strings.Cut(target, "://"); ok {
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		} else {
			target = "/"
		}
	}
	return httpHead{fmt.Sprintf("%s %s HTTP/%s", a.GetMethod(), target, cmp.Or(a.GetHttpVersion(), "1.1")), a.GetHeaders()}
}

// write gives the head as it stands before a body.
func (h httpHead) write(out *bytes.Buffer) {
	out.WriteString(h.first + "\r\n")
	for _, f := range h.fields {
		out.WriteString(f.GetName() + ": " + fieldText(f) + "\r\n")
	}
	out.WriteString("\r\n")
}

// show gives the head for people, each line behind mark.
func (h httpHead) show(w io.Writer, mark string) {
	fmt.Fprintf(w, "%s %s\n", mark, visible(strings.TrimRight(h.first, " ")))
	for _, f := range h.fields {
		fmt.Fprintf(w, "%s %s: %s\n", mark, visible(f.GetName()), visible(fieldText(f)))
	}
	fmt.Fprintln(w, mark)
}

func fieldText(f *fetchsvcv1.Field) string {
	if raw := f.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return f.GetValue()
}

// visible keeps what a stranger sent from moving the cursor of a terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// writeVerbose tells what went over the wire, in order, and then the ledger. Of
// answers that are not given only the status is told.
func writeVerbose(w io.Writer, res *fetchsvcv1.FetchResponse, answers []httpHead) {
	showWire(w, res.GetAttempts(), answers)
	if trailers := res.GetTrailers(); len(trailers) > 0 {
		httpHead{"(trailers)", trailers}.show(w, "<")
	}
	writeTree(w, responseTree(res))
}

// showWire shows each attempt's request and, behind a hop's last attempt, what
// answered the hop. Of other attempts only the status is known.
func showWire(w io.Writer, attempts []*fetchsvcv1.Attempt, answers []httpHead) {
	for i, a := range attempts {
		if a.GetWire() != fetchsvcv1.Attempt_UNSENT {
			requestHead(a).show(w, ">")
		}
		hop := int(a.GetHop())
		last := i == len(attempts)-1 || attempts[i+1].GetHop() != a.GetHop()
		switch {
		case a.GetStatus() == 0:
		case last && hop < len(answers):
			answers[hop].show(w, "<")
		default:
			httpHead{first: statusLine(a.GetHttpVersion(), a.GetStatus(), http.StatusText(int(a.GetStatus())))}.show(w, "<")
		}
	}
}
