package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
	"github.com/fetchsvc/fetchsvc/internal/target"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// longestWord bounds what callers and peers choose of a line.
const longestWord = 512

// callTree is a call that is over, for whoever develops against the service: the
// ledger as `fetch -v` has it. URLs come without their query, as in the audit log.
func callTree(f *fetch.Finished) node {
	call := clipped(f.Request.Method) + " " + shownPlace(f.Request.URL)
	ledger := &fetchsvcv1.FetchResponse{
		Status: int32(f.Response.Status), Upstream: f.Upstream, Elapsed: durationpb.New(f.Response.Elapsed),
		BytesSent: f.Response.BytesSent, BytesReceived: f.Response.BytesReceived,
		Truncated: f.Response.Truncated, RedirectStopped: f.Response.RedirectStopped,
		Attempts: attemptsShown(f.Response.Attempts), History: hopsShown(f.Response.History),
	}
	if !f.Streamed { // else nobody counted
		ledger.Decoded, ledger.BytesDecoded = f.Response.Decoded, int64(len(f.Response.Body))
	}
	var n node
	if f.Err == nil {
		n = answerTree(call, ledger)
	} else {
		n = failedTree(call, f.Err, ledger)
	}
	n.text += whose(f.Request.Caller, f.Trace)
	n.kids = append(waitsShown(f.Waits), n.kids...)
	if f.Reported != "" {
		n.add("in report mode: %s", clipped(f.Reported))
	}
	if f.Err != nil && len(n.kids) == 0 {
		n.text += ": " + clipped(f.Err.Message)
	}
	return n
}

// failedTree is a call without a usable answer. Why is below what was tried, unless
// the last attempt says the same.
func failedTree(call string, why *fault.Error, ledger *fetchsvcv1.FetchResponse) node {
	n := node{text: fmt.Sprintf("%s: %s in %s", call, why.Kind, took(ledger.GetElapsed()))}
	if up := ledger.GetUpstream(); up != "" {
		n.text += ", upstream " + up
	}
	n.kids = hopNodes(ledger.GetAttempts(), ledger.GetHistory())
	if all := ledger.GetAttempts(); len(all) > 0 && all[len(all)-1].GetError().GetMessage() != clipped(why.Message) {
		n.add("%s: %s", why.Kind, clipped(why.Message))
	}
	return n
}

// refusalTree is a call that never came to the engine.
func refusalTree(ctx context.Context, rpc string, why *fault.Error) node {
	return node{text: fmt.Sprintf("%s: %s%s: %s", clipped(rpc), why.Kind,
		whose(server.OriginOf(ctx).Caller, telemetry.TraceFrom(ctx)), clipped(why.Message))}
}

// whose says who called, unless that is not known, and by what to find the call in the
// audit log and among traces.
func whose(caller string, trace *telemetry.Trace) (text string) {
	if caller != "" && caller != policy.Anonymous {
		text = ", caller " + caller
	}
	if trace != nil {
		text += ", trace " + trace.ID.String()[:8]
	}
	return text
}

// waitsShown are the waits that the ledger does not have.
func waitsShown(waits []fetch.Wait) (all []node) {
	for _, w := range waits {
		text := "waited " + brief(w.Took) + ": a place among the upstream's calls"
		if w.For == telemetry.WaitCredential {
			text = fmt.Sprintf("waited %s: what credential %s is made of", brief(w.Took), w.Credential)
		}
		if w.Err != nil {
			text += fmt.Sprintf(", in vain: %s: %s", w.Err.Kind, clipped(w.Err.Message))
		}
		all = append(all, node{text: text})
	}
	return all
}

// attemptsShown is what the tree has of attempts.
func attemptsShown(in []*fetch.Attempt) []*fetchsvcv1.Attempt {
	out := make([]*fetchsvcv1.Attempt, len(in))
	for i, a := range in {
		out[i] = &fetchsvcv1.Attempt{
			Number: int32(a.Number), Hop: int32(a.Hop), Method: clipped(a.Method), Url: shownPlace(a.URL),
			Reason: fetchsvcv1.Attempt_Reason(fetchsvcv1.Attempt_Reason_value[strings.ToUpper(a.Reason.String())]),
			Wire:   fetchsvcv1.Attempt_Wire(fetchsvcv1.Attempt_Wire_value[strings.ToUpper(a.Wire.String())]),
			Wait:   durationpb.New(a.Wait), WaitReason: clipped(a.WaitReason), Stopped: clipped(a.Stopped),
			Address: a.Address, ConnectionReused: a.Reused, Proxy: a.Proxy, Credential: a.Credential,
			HttpVersion: a.Proto, Status: int32(a.Status), Timings: timingsShown(&a.Timings),
			BytesSent: a.BytesSent, BytesReceived: a.BytesReceived,
		}
		if a.Err != nil {
			out[i].Error = &fetchsvcv1.AttemptError{Reason: string(a.Err.Kind), Message: clipped(a.Err.Message)}
		}
	}
	return out
}

// timingsShown has the phases that took place.
func timingsShown(t *fetch.Timings) *fetchsvcv1.Timings {
	phase := func(d time.Duration) *durationpb.Duration {
		if d == 0 {
			return nil
		}
		return durationpb.New(d)
	}
	return &fetchsvcv1.Timings{
		Dns: phase(t.DNS), Connect: phase(t.Connect), Tls: phase(t.TLS), Connection: phase(t.Connection),
		Send: phase(t.Send), FirstByte: phase(t.FirstByte), Body: phase(t.Body), Total: phase(t.Total),
	}
}

// hopsShown is what the tree has of redirects. What an upstream put into a query may
// be what the caller had confided to it.
func hopsShown(in []fetch.Hop) []*fetchsvcv1.Hop {
	out := make([]*fetchsvcv1.Hop, len(in))
	for i, h := range in {
		out[i] = &fetchsvcv1.Hop{Method: clipped(h.Method), Url: shownPlace(h.URL), Status: int32(h.Status), DroppedHeaders: h.Dropped}
		if next, err := h.URL.Resolve(h.Location); err == nil {
			out[i].Location = shownPlace(next)
		}
	}
	return out
}

// shownPlace is where a URL leads, without its query.
func shownPlace(u target.URL) string { return clipped(u.Place()) }

// clipped keeps what others chose short.
func clipped(s string) string {
	if len(s) > longestWord {
		return strings.ToValidUTF8(s[:longestWord], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
