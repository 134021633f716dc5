package policy

import "github.com/fetchsvc/fetchsvc/internal/target"

// patterns are the texts of one upstream's host patterns, without ports, by what they
// are looked up by. They are its own, and not the index's: what outlives a snapshot,
// as a pool of connections does, shall not keep all of it.
type patterns map[endpoint]string

// Pattern gives the host part of the entry of `hosts` by which up has u, in one
// spelling: `api.example.com`, `*.example.com` or `*`; empty: by none. There are as
// many as the policy says, whatever callers ask for, so it may label metrics. It does
// not allocate.
func (up *Upstream) Pattern(u target.URL) string {
	return walk(endpointOf(u), up.patterns.find)
}

// PatternOf is Pattern for a host in target's spelling.
func (up *Upstream) PatternOf(host string, port uint16, tls bool) string {
	return walk(endpoint{host: host, kind: exact, port: port, tls: tls}, up.patterns.find)
}

func (p patterns) find(at endpoint) string {
	if text, ok := p[at]; ok {
		return text
	}
	at.port = anyPort
	return p[at]
}

// text is the pattern without its port.
func (at endpoint) text() string {
	switch at.kind {
	case anyHost:
		return "*"
	case wildcard:
		return "*." + at.host
	}
	return at.host
}
