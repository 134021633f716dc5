package server

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

func timeouts(t *fetchsvcv1.Timeouts) fetch.Timeouts {
	if t == nil {
		return fetch.Timeouts{}
	}
	d := func(p *durationpb.Duration) time.Duration { return p.AsDuration() }
	return fetch.Timeouts{
		Total: d(t.GetTotal()), Attempt: d(t.GetAttempt()), Connect: d(t.GetConnect()),
		FirstByte: d(t.GetFirstByte()), Idle: d(t.GetIdle()),
	}
}

func retryOf(r *fetchsvcv1.Retry) *fetch.Retry {
	if r == nil {
		return nil
	}
	out := &fetch.Retry{
		MaxAttempts: count(r.MaxAttempts), Connect: count(r.Connect), Read: count(r.Read), Status: count(r.Status),
		Other: count(r.Other), Methods: r.GetMethods(), IgnoreRetryAfter: r.GetIgnoreRetryAfter(),
		RetryAfterMax: span(r.GetRetryAfterMax()), Base: span(r.GetBackoff().GetBase()), Max: span(r.GetBackoff().GetMax()),
		Jitter: jitters[r.GetBackoff().GetJitter()],
	}
	for _, s := range r.GetStatuses() {
		out.Statuses = append(out.Statuses, int(s))
	}
	return out
}

var jitters = map[fetchsvcv1.Backoff_Jitter]string{
	fetchsvcv1.Backoff_AUTO: "auto", fetchsvcv1.Backoff_FULL: "full", fetchsvcv1.Backoff_EQUAL: "equal",
	fetchsvcv1.Backoff_DECORRELATED: "decorrelated", fetchsvcv1.Backoff_NONE: "none",
}

func count(n *int32) *int {
	if n == nil {
		return nil
	}
	v := int(*n)
	return &v
}

func span(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	v := d.AsDuration()
	return &v
}

func redirects(r *fetchsvcv1.Redirects) (out fetch.Redirects) {
	if r == nil {
		return out
	}
	out.Limit = count(r.Max)
	if mode, ok := redirectModes[r.GetMode()]; ok {
		out.Mode = &mode
	}
	return out
}

var redirectModes = map[fetchsvcv1.Redirects_Mode]policy.RedirectMode{
	fetchsvcv1.Redirects_NONE: policy.RedirectNone, fetchsvcv1.Redirects_SAME_ORIGIN: policy.RedirectSameOrigin,
	fetchsvcv1.Redirects_SAME_UPSTREAM: policy.RedirectSameUpstream, fetchsvcv1.Redirects_ANY: policy.RedirectAny,
}

// connection reads the call's own way to connect; nil: policy's. Whether policy
// grants it, the engine says.
func (b *builder) connection(in *fetchsvcv1.FetchRequest) *egress.Override {
	o := &egress.Override{CAPEM: []byte(in.GetCaPem()), SkipVerify: in.GetSkipVerify()}
	if in.GetProxy() != "" {
		p, err := egress.ParseProxy(in.GetProxy())
		b.failed(err)
		o.Proxy = p
	}
	if c := in.GetClientCert(); c != nil {
		o.CertPEM, o.KeyPEM = []byte(c.GetCertPem()), secret.NewValue(c.GetKeyPem())
		if c.GetCertPem() == "" || c.GetKeyPem() == "" {
			b.fail("client_cert", "cert_pem and key_pem go together: give both")
		}
	}
	if o.IsZero() {
		return nil
	}
	return o
}

// requestHost checks a Host that is not the URL's.
func (b *builder) requestHost(host string) string {
	if host == "" {
		return ""
	}
	u, err := target.Parse("http://" + host + "/")
	if err != nil || u.HasQuery || u.Path != "/" {
		b.problems = append(b.problems, fault.Violation{Field: "request_host", Reason: quote(host) + " is not a host: write example.com or example.com:8443"})
		return ""
	}
	return host
}
