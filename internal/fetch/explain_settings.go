package fetch

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// Setting is one effective value.
type Setting struct {
	// Name is its path in the policy file, such as `timeouts.total`.
	Name string
	// Value is as the policy file would write it.
	Value string
	// Source is where it comes from: `request`, `upstream github routes[0]`,
	// `upstream github`, `defaults` or `built in`.
	Source string
}

// effects gathers the settings of one hop.
type effects struct {
	c     *Call
	route *policy.Route
	all   []Setting
}

// effective are the settings that hold for the first hop, by topic.
func (c *Call) effective() []Setting {
	x := &effects{c: c, route: c.hop.route}
	x.add("mode", false, x.route.Upstream.Mode())
	x.add("credential", c.req.Credential != "", credentialText(c))
	x.clocks()
	x.retry()
	x.redirects()
	x.sizes()
	x.add("resume.downloads", false, strconv.Itoa(x.route.Resume.Downloads))
	x.add("resume.events", false, strconv.Itoa(x.route.Resume.Events))
	x.limits()
	x.trace()
	x.connection()
	return x.all
}

// add notes a value. It comes from the request where that asked for it, else from
// the narrowest place that sets it or one of also.
func (x *effects) add(name string, asked bool, value string, also ...string) {
	x.all = append(x.all, Setting{name, value, x.source(asked, append([]string{name}, also...)...)})
}

func (x *effects) source(asked bool, paths ...string) string {
	if asked {
		return "request"
	}
	narrowest := "built in"
	for _, path := range paths {
		if s := x.route.Source(path); narrowness(s) > narrowness(narrowest) {
			narrowest = s
		}
	}
	return narrowest
}

// narrowness orders what Source gives.
func narrowness(source string) int {
	switch {
	case strings.Contains(source, " routes["):
		return 3
	case strings.HasPrefix(source, "upstream "):
		return 2
	case source == "defaults":
		return 1
	}
	return 0
}

// bounded is add for a value with a ceiling.
func bounded[T comparable](x *effects, name string, asked bool, value string, b policy.Bound[T]) {
	x.add(name, asked, value, ceiling(name, b)...)
}

// ceiling is the path of the ceiling, if that may be what brought the value down.
func ceiling[T comparable](name string, b policy.Bound[T]) []string {
	if b.Default != b.Max {
		return nil
	}
	group, last, _ := strings.Cut(name, ".")
	return []string{group + ".max." + last}
}

func (x *effects) clocks() {
	l, t, wish := x.c.hop.limits, x.route.Timeouts, x.c.req.Timeouts
	bounded(x, "timeouts.total", wish.Total > 0, clockText(l.total), t.Total)
	bounded(x, "timeouts.attempt", wish.Attempt > 0, clockText(l.attempt), t.Attempt)
	bounded(x, "timeouts.connect", wish.Connect > 0, clockText(l.connect), t.Connect)
	x.add("timeouts.dns", false, clockText(t.DNS))
	x.add("timeouts.tls", false, clockText(t.TLS))
	bounded(x, "timeouts.first_byte", wish.FirstByte > 0, clockText(l.firstByte), t.FirstByte)
	bounded(x, "timeouts.idle", wish.Idle > 0, clockText(l.idle), t.Idle)
	x.add("timeouts.pool", false, clockText(l.pool))
	x.add("timeouts.stream_total", false, clockText(l.streamTotal))
	rate := "none"
	if l.minRate > 0 {
		rate = policy.FormatSize(l.minRate)
	}
	x.add("min_rate", false, rate)
}

func (x *effects) retry() {
	r, wish := x.c.hop.retry, x.c.req.Retry
	if wish == nil {
		wish = &Retry{}
	}
	bounded(x, "retry.max_attempts", wish.MaxAttempts != nil, strconv.Itoa(r.MaxAttempts.Default), x.route.Retry.MaxAttempts)
	x.add("retry.backoff.base", wish.Base != nil, durationText(r.Backoff.Base))
	x.add("retry.backoff.max", wish.Max != nil, durationText(r.Backoff.Max))
	x.add("retry.backoff.jitter", wish.Jitter != "", r.Backoff.Jitter)
	for _, n := range []struct {
		name  string
		asked *int
		most  int
	}{{"connect", wish.Connect, r.Connect}, {"read", wish.Read, r.Read}, {"status", wish.Status, r.Status}, {"other", wish.Other, r.Other}} {
		if n.most < 0 { // max_attempts is the bound
			x.add("retry."+n.name, wish.MaxAttempts != nil, strconv.Itoa(r.MaxAttempts.Default-1), "retry.max_attempts")
			continue
		}
		x.add("retry."+n.name, n.asked != nil, strconv.Itoa(n.most))
	}
	x.add("retry.methods", len(wish.Methods) > 0, listText(r.Methods()))
	x.add("retry.statuses", len(wish.Statuses) > 0, listText(r.Statuses))
	x.add("retry.kinds", false, kindsText(r.Kinds))
	x.add("retry.retry_after.ignore", wish.IgnoreRetryAfter, strconv.FormatBool(r.IgnoreRetryAfter))
	x.add("retry.retry_after.max", wish.RetryAfterMax != nil, durationText(r.RetryAfterMax))
	x.budget()
	x.add("retry.idempotency_key.header", false, r.IdempotencyHeader)
	x.add("retry.idempotency_key.generate", false, strconv.FormatBool(r.GenerateKey))
	if r.GenerateKey {
		x.add("retry.idempotency_key.methods", false, listText(r.KeyMethods()))
	}
	x.add("retry.spool", false, policy.FormatSize(r.Spool))
}

func (x *effects) budget() {
	b := x.route.Upstream.Budget
	if b.Unlimited {
		x.add("retry.budget.unlimited", false, "true")
		return
	}
	x.add("retry.budget.ratio", false, strconv.FormatFloat(b.Ratio, 'g', -1, 64))
	x.add("retry.budget.min", false, strconv.Itoa(b.Min))
	x.add("retry.budget.window", false, durationText(b.Window))
}

func (x *effects) redirects() {
	l, r, wish := x.c.hop.limits, x.route.Redirects, x.c.req.Redirects
	bounded(x, "redirects.mode", wish.Mode != nil, l.redirects.String(), r.Mode)
	bounded(x, "redirects.limit", wish.Limit != nil, strconv.Itoa(l.maxRedirects), r.Limit)
	x.add("redirects.keep_headers", false, listText(r.KeepHeaders))
}

func (x *effects) sizes() {
	l, s, asked := x.c.hop.limits, x.route.Sizes, x.c.req.MaxResponseBytes > 0
	x.add("sizes.request", false, policy.FormatSize(s.Request))
	x.add("sizes.request_header", false, policy.FormatSize(s.RequestHeader))
	bounded(x, "sizes.response", asked, policy.FormatSize(l.maxBytes), s.Response)
	x.add("sizes.response_header", false, policy.FormatSize(s.ResponseHeader))
	if s.Decoded == 0 { // the bound is the coded body's
		x.add("sizes.decoded", asked, policy.FormatSize(l.maxDecoded), append(ceiling("sizes.response", s.Response), "sizes.response")...)
	} else {
		x.add("sizes.decoded", false, policy.FormatSize(l.maxDecoded))
	}
	x.add("sizes.ratio", false, strconv.FormatInt(s.Ratio, 10))
}

func (x *effects) limits() {
	l := x.route.Upstream.Limits
	if l.Concurrent == 0 {
		x.add("limits.concurrent", false, "off")
		return
	}
	x.add("limits.concurrent", false, strconv.Itoa(l.Concurrent))
	x.add("limits.queue", false, strconv.Itoa(l.Queue), "limits.concurrent")
}

func (x *effects) trace() {
	t := x.route.Upstream.Trace
	share := "the sampler's"
	if t.Sample >= 0 {
		share = strconv.FormatFloat(t.Sample, 'g', -1, 64)
	}
	x.add("trace.sample", false, share)
	x.add("trace.propagate", false, t.Propagate.String())
	x.add("trace.keep_slower", false, durationText(t.KeepSlower))
	x.add("trace.keep_failed", false, strconv.FormatBool(t.KeepFailed))
}

// connection tells how the upstream is reached. TLS is told of where it is spoken.
func (x *effects) connection() {
	own, up := x.c.req.Connection, x.route.Upstream
	x.add("proxy", own != nil && own.Proxy != nil, x.c.way().proxy)
	if x.c.hop.url.Scheme == "https" {
		x.tls(&up.TLS)
	}
	if host := x.c.req.Host; host != "" {
		x.add("request_host", true, host)
	}
	x.add("unsafe_allow_addresses", false, listText(up.AllowAddresses))
	x.add("grants", false, grantsText(up.Grants))
}

func (x *effects) tls(t *policy.TLS) {
	o := x.c.req.Connection
	ownCA, ownCert := o != nil && len(o.CAPEM) > 0, o != nil && len(o.CertPEM) > 0
	version := "1.2"
	if t.MinVersion == tls.VersionTLS13 {
		version = "1.3"
	}
	x.add("tls.min_version", false, version)
	x.add("tls.ca_file", ownCA, given(ownCA, t.CAFile, "the system's"))
	x.add("tls.client_certificate", ownCert, given(ownCert, t.CertFile, "none"))
	x.add("tls.server_name", false, given(false, t.ServerName, "the host's"))
	pins := "none"
	if n := len(t.Pins); n > 0 {
		pins = fmt.Sprintf("%d given", n)
	}
	x.add("tls.spki_pins", false, pins)
	skip := o != nil && o.SkipVerify
	x.add("tls.unsafe_skip_verify", skip, strconv.FormatBool(skip || t.SkipVerify))
}

// given is what the request brings, or policy's, or what holds without either.
func given(own bool, value, without string) string {
	switch {
	case own:
		return "the request's"
	case value == "":
		return without
	}
	return value
}
