package fetch

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// proofs are the credentials that calls of a route may carry.
type proofs struct {
	signers map[*policy.Credential]auth.Signer
	// own says what becomes of a caller's own proofs.
	own policy.CallerCredentials
}

// proofsOf finds the signers of r; nil: its calls carry none.
func (e *Engine) proofsOf(r *policy.Route) *proofs {
	if e.keep == nil || r.Credential == nil && len(r.Choices) == 0 {
		return nil
	}
	p := &proofs{signers: make(map[*policy.Credential]auth.Signer, 1+len(r.Choices)), own: r.Upstream.CallerCredentials}
	for _, cred := range append(slices.Clone(r.Choices), r.Credential) {
		if cred != nil {
			p.signers[cred] = e.keep.Signer(cred)
		}
	}
	return p
}

// credential is what the hop's requests carry; nil: nothing. It is found by where
// the hop goes: the caller's choice holds as far as the hop's route has it.
func (c *Call) credential(h *hop) *policy.Credential {
	cred := chosen(c.req, h.route)
	switch {
	case cred == nil, !cred.GoesWith(h.header, h.method, h.url):
		return nil
	case h.upstream.CallerCredentials == policy.KeepCredentials && ownProof(h.header, cred) != "":
		return nil
	}
	return cred
}

// chosen is the credential that req asks for among those of r, else r's own.
func chosen(req *Request, r *policy.Route) *policy.Credential {
	for _, cred := range r.Choices {
		if req.Credential != "" && cred.Name == req.Credential {
			return cred
		}
	}
	return r.Credential
}

// proofHeaders are those by which callers commonly prove who they are.
var proofHeaders = [...]string{
	"Authorization", "Cookie", "X-Api-Key", "Api-Key", "Apikey", "X-Apikey", "X-Auth-Token", "X-Access-Token", "X-Goog-Api-Key", "X-Amz-Security-Token", "Private-Token",
}

// ownProof names a header by which the caller proves who it is, to an upstream
// that cred is for; empty: there is none.
func ownProof(h http.Header, cred *policy.Credential) string {
	for _, name := range proofHeaders {
		if _, given := h[name]; given {
			return name
		}
	}
	for _, name := range cred.Headers() {
		if _, given := h[name]; given {
			return name
		}
	}
	return underscored(h, cred)
}

// underscored names a header that CGI and its heirs cannot tell from one of those,
// since they read `_` and `-` as the same: X_Api_Key.
func underscored(h http.Header, cred *policy.Credential) string {
	for name := range h {
		if !strings.Contains(name, "_") {
			continue
		}
		plain := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		if slices.Contains(proofHeaders[:], plain) || slices.Contains(cred.Headers(), plain) {
			return name
		}
	}
	return ""
}

// mayProve refuses a call with proofs of its own, where policy says so.
func (c *Call) mayProve(h *hop) error {
	cred := chosen(c.req, h.route)
	if h.upstream.CallerCredentials != policy.DenyCredentials || cred == nil || !cred.GoesWith(h.header, h.method, h.url) {
		return nil
	}
	if name := ownProof(h.header, cred); name != "" {
		return fault.Newf(fault.NotGranted, "headers: %s: calls of upstream %q carry credential %q, and policy takes none of the caller's beside it (caller_credentials: deny); leave it out", name, h.upstream.Name, cred.Name)
	}
	return nil
}

// sign applies the hop's credential, last of all.
func (e *Engine) sign(r *policy.Route, next TryFunc) TryFunc {
	if e.keep == nil {
		return next
	}
	return func(ctx context.Context, t *Try) (*http.Response, error) {
		cred := t.call.credential(t.hop)
		if cred == nil {
			res, err := next(ctx, t)
			if err != nil {
				return nil, err
			}
			return t.scrubbed(res) // a hop before this one may have carried one
		}
		for name := ownProof(t.request.Header, cred); name != ""; name = ownProof(t.request.Header, cred) {
			delete(t.request.Header, name)
		}
		if t.hop.upstream.Scrub != policy.ScrubOff {
			e.readable(t)
		}
		signer := t.hop.chain.proofs.signers[cred]
		o, err := t.outgoing(signer.Needs(), cred)
		if err != nil {
			return nil, err
		}
		o.Before = t.hop.challenge.before
		t.entry.Credential = cred.Name
		causing := t.call.causing(ctx)
		err = signer.Sign(causing, o)
		t.call.waitedFor(o.Waited, cred.Name, err)
		if err != nil {
			return nil, err
		}
		if o.Name != "" {
			t.entry.Credential = o.Name
		}
		t.entry.Header, t.entry.Secret = o.Request.Header, o.Headers
		t.call.confide(t.hop, o.Revealed)
		res, err := next(ctx, t)
		if err != nil {
			return nil, err
		}
		v := signer.Answered(causing, o, res)
		if !v.Again && v.Why != "" {
			t.entry.Stopped = "CHALLENGE: " + v.Why
		}
		t.hop.hears(o, v)
		return t.scrubbed(res)
	}
}

// causing is ctx for work that the call begins and does not wait out, such as a request
// for a token: it is traced if the call is, which policy may have decided.
func (c *Call) causing(ctx context.Context) context.Context {
	if c.sampled == c.trace.Sampled {
		return ctx
	}
	return telemetry.WithTrace(ctx, &telemetry.Trace{ID: c.trace.ID, Span: c.trace.Span, Sampled: c.sampled})
}

// readable asks for an answer that can be looked through, which is not for the caller
// to choose: a part of a coded body is none, nor one in a coding that is unknown here.
func (e *Engine) readable(t *Try) {
	if _, part := t.call.req.Header["Range"]; part {
		t.request.Header["Accept-Encoding"] = identity
		return
	}
	for _, line := range t.request.Header["Accept-Encoding"] {
		for item := range strings.SplitSeq(line, ",") {
			coding, _, _ := strings.Cut(item, ";")
			if _, known, err := content.CodingOf([]string{coding}); !known || err != nil {
				t.request.Header["Accept-Encoding"] = e.acceptEncoding
				return
			}
		}
	}
}

// outgoing is the request as a Signer gets it.
func (t *Try) outgoing(needs auth.Needs, cred *policy.Credential) (*auth.Outgoing, error) {
	o := &auth.Outgoing{Request: t.request, URL: t.hop.url, Subject: t.call.req.Subject}
	b := t.hop.body
	if !needs.Body || b == nil || b.Size() == 0 {
		return o, nil
	}
	if _, streamed := b.(Upload); streamed {
		return nil, fault.Newf(fault.Internal, "credential %q was to digest an upload that is not there yet", cred.Name)
	}
	o.Body = func() io.ReadCloser { return b.Open() }
	return o, nil
}

// challenge is what a hop knows of its upstream's refusals of our proof.
type challenge struct {
	why           string         // another request is due, with a fresh proof
	before        *auth.Outgoing // whose answer asked for it
	fresh, stales int            // how many were made for a new proof, and for a stale one
}

// hears notes what the Signer makes of an answer. A hop gets one request with a
// fresh proof, and one more where the one before was only out of date.
func (h *hop) hears(o *auth.Outgoing, v auth.Verdict) {
	o.Before, h.challenge.before = nil, nil
	if !v.Again || h.body != nil && !h.body.Replayable() {
		return
	}
	switch count := &h.challenge; {
	case v.Stale && count.stales == 0:
		count.stales++
	case !v.Stale && count.fresh == 0:
		count.fresh++
	default:
		return
	}
	h.challenge.why, h.challenge.before = v.Why, o
}

// challenged takes the reason for another request with a fresh proof; empty: none
// is due.
func (h *hop) challenged() (why string) {
	why, h.challenge.why = h.challenge.why, ""
	return why
}
