package policy

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// unknownKey is the value of what a probe asks for and nobody has.
const unknownKey = "NOT KNOWN TO THE TEST"

// value answers `timeouts.total` with `30s (max 2m) from defaults`.
func (p *probe) value(key string) string {
	switch {
	case key == "rule":
		return word(fault.From(p.denial).Rule)
	case p.route == nil:
		return p.policyValue(key)
	case key == "pattern":
		return word(p.route.Upstream.Pattern(p.url))
	case key == "template":
		return word(p.said.Template)
	case key == "reported rule":
		return word(p.said.ReportedRule)
	}
	if key == "credential" {
		return p.golden.relative(p.credential()) + " from " + p.route.Source(key)
	}
	read, ok := routeValues[key]
	if !ok {
		return unknownKey
	}
	from := key
	if strings.HasPrefix(key, "proxy.") {
		from = "proxy" // it is taken over as a whole
	}
	return p.golden.relative(read(p.route)) + " from " + p.route.Source(from)
}

// credential is what a call to the probe's URL carries.
func (p *probe) credential() string {
	switch c := p.route.Credential; {
	case c == nil:
		return "none"
	case c.Scheme == nil:
		return "nothing" // of a file that breaks the schema
	case !c.GoesTo(p.method, p.url):
		return fmt.Sprintf("none here, %s goes elsewhere", c.Name)
	}
	if b, ok := p.route.Credential.Scheme.(*Bearer); ok {
		return fmt.Sprintf("%s, bearer %s", p.route.Credential.Name, b.Token)
	}
	return p.route.Credential.Words()
}

// policyValue answers what is asked of the policy as a whole.
func (p *probe) policyValue(key string) string {
	s := p.snapshot
	if name, ok := strings.CutPrefix(key, "operator "); ok {
		return fmt.Sprint(s.Operator(name))
	}
	if name, ok := strings.CutPrefix(key, "caller "); ok {
		return callerWords(s, name)
	}
	for about, words := range map[string]func(*Snapshot, string) string{
		"credential ": credentialWords, "vault ": vaultWords, "system ": systemWords, "tracing of ": systemTraceWords,
	} {
		if name, ok := strings.CutPrefix(key, about); ok {
			return p.golden.relative(words(s, name))
		}
	}
	if name, ok := strings.CutPrefix(key, "limits "); ok {
		return fmt.Sprintf("%+v", s.CallerLimits(name))
	}
	if rest, ok := strings.CutPrefix(key, "token "); ok {
		return tokenWords(s, rest)
	}
	if name, ok := strings.CutPrefix(key, "issuer "); ok {
		return issuerWords(s, name)
	}
	switch key {
	case "anonymous":
		return fmt.Sprint(s.Proofs.AllowAnonymous)
	case "batch.concurrency":
		return fmt.Sprintf("%d (max %d)", s.Batch.Concurrency, s.Batch.Max)
	case "callers":
		return list(s.Callers)
	case "credentials":
		return list(namesOf(s.Credentials()))
	case "nat64":
		return fmt.Sprint(s.NAT64)
	case "telemetry.log_level":
		return strings.ToLower(s.LogLevel.String())
	case "defaults.trace":
		return tracingWords(s.Trace)
	case "secrets.keep":
		return wait(s.Secrets.Keep)
	case "secrets":
		return list(slices.Compact(slices.Sorted(slices.Values(p.golden.asked))))
	case "upstreams":
		return fmt.Sprint(len(s.Upstreams))
	}
	return unknownKey
}

// routeValues are the settings that a probe may ask for, by their keys in the
// policy file.
var routeValues = map[string]func(*Route) string{
	"timeouts.total":        func(r *Route) string { return clock(r.Timeouts.Total) },
	"timeouts.attempt":      func(r *Route) string { return clock(r.Timeouts.Attempt) },
	"timeouts.connect":      func(r *Route) string { return clock(r.Timeouts.Connect) },
	"timeouts.first_byte":   func(r *Route) string { return clock(r.Timeouts.FirstByte) },
	"timeouts.idle":         func(r *Route) string { return clock(r.Timeouts.Idle) },
	"timeouts.tls":          func(r *Route) string { return wait(r.Timeouts.TLS) },
	"timeouts.dns":          func(r *Route) string { return wait(r.Timeouts.DNS) },
	"timeouts.pool":         func(r *Route) string { return wait(r.Timeouts.Pool) },
	"timeouts.stream_total": func(r *Route) string { return wait(r.Timeouts.StreamTotal) },

	"sizes.request":         func(r *Route) string { return FormatSize(r.Sizes.Request) },
	"sizes.request_header":  func(r *Route) string { return FormatSize(r.Sizes.RequestHeader) },
	"sizes.response":        func(r *Route) string { return bound(r.Sizes.Response, FormatSize) },
	"sizes.response_header": func(r *Route) string { return FormatSize(r.Sizes.ResponseHeader) },
	"sizes.decoded":         func(r *Route) string { return FormatSize(r.Sizes.Decoded) },
	"sizes.ratio":           func(r *Route) string { return fmt.Sprint(r.Sizes.Ratio) },
	"min_rate":              func(r *Route) string { return FormatSize(r.MinRate) },

	"retry.max_attempts":    func(r *Route) string { return bound(r.Retry.MaxAttempts, number10) },
	"retry.backoff.base":    func(r *Route) string { return wait(r.Retry.Backoff.Base) },
	"retry.backoff.max":     func(r *Route) string { return wait(r.Retry.Backoff.Max) },
	"retry.backoff.jitter":  func(r *Route) string { return r.Retry.Backoff.Jitter },
	"retry.connect":         func(r *Route) string { return number10(r.Retry.Connect) },
	"retry.read":            func(r *Route) string { return number10(r.Retry.Read) },
	"retry.status":          func(r *Route) string { return number10(r.Retry.Status) },
	"retry.other":           func(r *Route) string { return number10(r.Retry.Other) },
	"retry.statuses":        func(r *Route) string { return list(r.Retry.Statuses) },
	"retry.methods":         func(r *Route) string { return r.Retry.methods.words() },
	"retry.kinds":           func(r *Route) string { return list(r.Retry.Kinds) },
	"retry.spool":           func(r *Route) string { return FormatSize(r.Retry.Spool) },
	"retry.budget.ratio":    func(r *Route) string { return fmt.Sprint(r.Upstream.Budget.Ratio) },
	"retry.budget.min":      func(r *Route) string { return fmt.Sprint(r.Upstream.Budget.Min) },
	"retry.budget.window":   func(r *Route) string { return wait(r.Upstream.Budget.Window) },
	"retry.retry_after.max": func(r *Route) string { return wait(r.Retry.RetryAfterMax) },

	"retry.budget.unlimited":         func(r *Route) string { return fmt.Sprint(r.Upstream.Budget.Unlimited) },
	"retry.retry_after.ignore":       func(r *Route) string { return fmt.Sprint(r.Retry.IgnoreRetryAfter) },
	"retry.idempotency_key.header":   func(r *Route) string { return r.Retry.IdempotencyHeader },
	"retry.idempotency_key.generate": func(r *Route) string { return fmt.Sprint(r.Retry.GenerateKey) },
	"retry.idempotency_key.methods":  func(r *Route) string { return r.Retry.keyMethods.words() },

	"redirects.mode":         func(r *Route) string { return bound(r.Redirects.Mode, RedirectMode.String) },
	"redirects.limit":        func(r *Route) string { return bound(r.Redirects.Limit, number10) },
	"redirects.keep_headers": func(r *Route) string { return list(r.Redirects.KeepHeaders) },
	"resume.downloads":       func(r *Route) string { return fmt.Sprint(r.Resume.Downloads) },
	"resume.events":          func(r *Route) string { return fmt.Sprint(r.Resume.Events) },
	"limits.concurrent":      func(r *Route) string { return fmt.Sprint(r.Upstream.Limits.Concurrent) },
	"limits.queue":           func(r *Route) string { return fmt.Sprint(r.Upstream.Limits.Queue) },
	"credentials":            func(r *Route) string { return list(namesOf(r.Choices)) },
	"caller_credentials": func(r *Route) string {
		return [...]string{"overwrite", "deny", "keep"}[r.Upstream.CallerCredentials]
	},
	"scrub":                  func(r *Route) string { return [...]string{"replace", "refuse", "off"}[r.Upstream.Scrub] },
	"trace.sample":           func(r *Route) string { return sampleWords(r.Upstream.Trace.Sample) },
	"trace.propagate":        func(r *Route) string { return r.Upstream.Trace.Propagate.String() },
	"trace.keep_slower":      func(r *Route) string { return wait(r.Upstream.Trace.KeepSlower) },
	"trace.keep_failed":      func(r *Route) string { return fmt.Sprint(r.Upstream.Trace.KeepFailed) },
	"schemes":                func(r *Route) string { return list(r.Upstream.Schemes) },
	"grants":                 func(r *Route) string { return fmt.Sprintf("%+v", r.Upstream.Grants) },
	"unsafe_allow_addresses": func(r *Route) string { return list(r.Upstream.AllowAddresses) },

	"tls.ca_file":     func(r *Route) string { return word(r.Upstream.TLS.CAFile) },
	"tls.min_version": func(r *Route) string { return tls.VersionName(r.Upstream.TLS.MinVersion) },
	"tls.server_name": func(r *Route) string { return word(r.Upstream.TLS.ServerName) },
	"tls.client_certificate": func(r *Route) string {
		return word(r.Upstream.TLS.CertFile) + " with " + word(string(r.Upstream.TLS.Key))
	},
	"tls.spki_pins": func(r *Route) string {
		var pins []string
		for _, pin := range r.Upstream.TLS.Pins {
			pins = append(pins, "sha256/"+base64.StdEncoding.EncodeToString(pin[:]))
		}
		return list(pins)
	},
	"tls.unsafe_skip_verify": func(r *Route) string { return fmt.Sprint(r.Upstream.TLS.SkipVerify) },

	"proxy": func(r *Route) string {
		p := r.Upstream.Proxy
		switch {
		case p == nil:
			return "none"
		case p.FromEnvironment:
			return "the environment's"
		}
		return fmt.Sprintf("%s://%s port %d", p.Scheme, p.Host, p.Port)
	},
	"proxy.user": func(r *Route) string {
		return word(proxyOf(r).Username) + " with " + word(string(proxyOf(r).Password))
	},
	"proxy.no_proxy": func(r *Route) string {
		var out []string
		for _, n := range proxyOf(r).NoProxy {
			text := n.Host
			switch {
			case n.Prefix.IsValid():
				text = n.Prefix.String()
			case n.Suffix && n.Host == "":
				text = "any host"
			case n.Suffix:
				text = "below " + text
			}
			if n.Port != 0 {
				text += fmt.Sprintf(" port %d", n.Port)
			}
			out = append(out, text)
		}
		return list(out)
	},
	"proxy.unsafe_proxy_resolves": func(r *Route) string { return fmt.Sprint(proxyOf(r).UnsafeResolves) },
	"proxy.ca_file":               func(r *Route) string { return word(proxyOf(r).CAFile) },
}

func sampleWords(share float64) string {
	if share < 0 {
		return "the sampler's"
	}
	return fmt.Sprint(share)
}

func tracingWords(t Tracing) string {
	return fmt.Sprintf("%s, propagate %s, slower than %s, failed %v", sampleWords(t.Sample), t.Propagate, wait(t.KeepSlower), t.KeepFailed)
}

func namesOf(credentials []*Credential) (out []string) {
	for _, c := range credentials {
		out = append(out, c.Name)
	}
	return out
}

// proxyOf is the route's proxy, empty if there is none.
func proxyOf(r *Route) *Proxy {
	if r.Upstream.Proxy == nil {
		return &Proxy{}
	}
	return r.Upstream.Proxy
}

func clock(c Clock) string { return bound(c, wait) }

func bound[T comparable](b Bound[T], write func(T) string) string {
	if b.Max == b.Default {
		return write(b.Default)
	}
	return fmt.Sprintf("%s (max %s)", write(b.Default), write(b.Max))
}

func wait(d time.Duration) string { return durationWords(durationpb.New(d)) }

func number10(n int) string { return fmt.Sprint(n) }

func word(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func list[T any](values []T) string {
	var words []string
	for _, v := range values {
		words = append(words, fmt.Sprint(v))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

func (m methodSet) words() string {
	if m.any {
		return "any"
	}
	return list(m.names)
}
