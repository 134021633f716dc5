package policy

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// compiler gathers every problem instead of stopping at the first.
type compiler struct {
	problems []problem
}

func (c *compiler) fail(path string, err error) {
	c.problems = append(c.problems, problem{path, err})
}

// compile turns a file that meets its schema into a snapshot.
func compile(file *policyv1.Policy) (*Snapshot, []problem) {
	var c compiler
	s := &Snapshot{index: index{upstreams: map[endpoint]*Upstream{}, hosts: map[endpoint]*Upstream{}}}
	base := Upstream{
		Timeouts: c.timeouts("defaults.timeouts", builtinTimeouts(), file.GetDefaults().GetTimeouts()),
		Sizes:    c.sizes("defaults.sizes", builtinSizes(), file.GetDefaults().GetSizes()),
	}
	s.Batch = c.batch(file.GetBatch())
	names := map[string]bool{}
	for i, in := range file.GetUpstreams() {
		path := fmt.Sprintf("upstreams[%d]", i)
		if names[in.GetName()] {
			c.fail(path+".name", fmt.Errorf("upstream %q is defined twice", in.GetName()))
		}
		names[in.GetName()] = true
		s.Upstreams = append(s.Upstreams, c.upstream(path, &s.index, base, in))
	}
	return s, c.problems
}

func (c *compiler) batch(in *policyv1.Batch) Batch {
	out := Batch{defaultConcurrency, maxConcurrency}
	value, ceiling := in.GetConcurrency(), in.GetMax().GetConcurrency()
	switch {
	case value != 0 && ceiling != 0 && ceiling < value:
		c.fail("batch.max.concurrency", fmt.Errorf("the ceiling %d is below the default %d beside it", ceiling, value))
	case ceiling != 0:
		out = Batch{min(defaultConcurrency, int(ceiling)), int(ceiling)}
	case value != 0:
		out.Max = int(value)
	}
	if value != 0 {
		out.Concurrency = int(value)
	}
	return out
}

func (c *compiler) upstream(path string, x *index, base Upstream, in *policyv1.Upstream) *Upstream {
	up := &Upstream{
		Name: in.GetName(), Hosts: in.GetHosts(), Schemes: in.GetSchemes(),
		Timeouts: c.timeouts(path+".timeouts", base.Timeouts, in.GetTimeouts()),
		Sizes:    c.sizes(path+".sizes", base.Sizes, in.GetSizes()),
	}
	up.MinRate = c.size(path+".min_rate", in.GetMinRate(), 0, math.MaxInt64)
	if len(up.Schemes) == 0 {
		up.Schemes = []string{"https"}
	}
	for i, s := range in.GetUnsafeAllowAddresses() {
		prefix, err := parsePrefix(s)
		if err != nil {
			c.fail(fmt.Sprintf("%s.unsafe_allow_addresses[%d]", path, i), err)
			continue
		}
		up.AllowAddresses = append(up.AllowAddresses, prefix)
	}
	for i, pattern := range up.Hosts {
		if err := x.add(up, pattern); err != nil {
			c.fail(fmt.Sprintf("%s.hosts[%d]", path, i), err)
		}
	}
	return up
}

// parsePrefix reads `10.0.0.0/8` or a single address. Host bits that are set
// are refused: `10.1.2.3/8` leaves open which of the two was meant.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not an address range: write 10.0.0.0/8, fd00::/8 or one address", s)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q has bits behind its prefix length: write %s", s, p.Masked())
	}
	return p, nil
}

func builtinTimeouts() Timeouts {
	return Timeouts{
		Total:   Clock{defaultTotal, defaultTotal},
		Connect: Clock{defaultConnect, defaultConnect},
		TLS:     defaultTLS,
	}
}

func builtinSizes() Sizes {
	return Sizes{
		Request: defaultRequest, Response: defaultResponse,
		ResponseMax: defaultResponseMax, ResponseHeader: defaultResponseHeader,
	}
}

// timeouts lays in over base.
func (c *compiler) timeouts(path string, base Timeouts, in *policyv1.Timeouts) Timeouts {
	if in == nil {
		return base
	}
	m := in.GetMax()
	t := Timeouts{
		Total:     c.clock(path, "total", base.Total, in.GetTotal(), m.GetTotal()),
		Attempt:   c.clock(path, "attempt", base.Attempt, in.GetAttempt(), m.GetAttempt()),
		Connect:   c.clock(path, "connect", base.Connect, in.GetConnect(), m.GetConnect()),
		FirstByte: c.clock(path, "first_byte", base.FirstByte, in.GetFirstByte(), m.GetFirstByte()),
		Idle:      c.clock(path, "idle", base.Idle, in.GetIdle(), m.GetIdle()),
		TLS:       base.TLS, StreamTotal: base.StreamTotal,
	}
	if in.GetTls() != nil {
		t.TLS = in.GetTls().AsDuration()
	}
	if in.GetStreamTotal() != nil {
		t.StreamTotal = in.GetStreamTotal().AsDuration()
	}
	return t
}

func (c *compiler) clock(path, name string, base Clock, value, ceiling *durationpb.Duration) Clock {
	out := base
	if value != nil {
		out.Default = value.AsDuration()
	}
	switch {
	case ceiling != nil && value != nil && ceiling.AsDuration() < value.AsDuration():
		c.fail(path+".max."+name, fmt.Errorf("the ceiling %s is below the default %s beside it", ceiling.AsDuration(), value.AsDuration()))
	case ceiling != nil: // over an inherited default it wins
		out.Max = ceiling.AsDuration()
		out.Default = min(out.Default, out.Max)
	case value != nil:
		out.Max = ownCeiling(base, out.Default)
	}
	return out
}

// ownCeiling is the ceiling of a value that has none beside it: itself, unless
// the level above allows more by name.
func ownCeiling(base Clock, value time.Duration) time.Duration {
	if base.Max > base.Default {
		return max(base.Max, value)
	}
	return value
}

func (c *compiler) sizes(path string, base Sizes, in *policyv1.Sizes) Sizes {
	if in == nil {
		return base
	}
	out := base
	out.Request = c.size(path+".request", in.GetRequest(), base.Request, defaultRequest)
	out.ResponseHeader = c.size(path+".response_header", in.GetResponseHeader(), base.ResponseHeader, maxResponseHeader)
	out.Response = c.size(path+".response", in.GetResponse(), base.Response, defaultResponseMax)
	out.ResponseMax = c.size(path+".max.response", in.GetMax().GetResponse(), base.ResponseMax, defaultResponseMax)
	ceiling := in.GetMax().GetResponse() != ""
	switch {
	case ceiling && in.GetResponse() != "" && out.ResponseMax < out.Response:
		c.fail(path+".max.response", fmt.Errorf("the ceiling %s is below the default %s beside it", FormatSize(out.ResponseMax), FormatSize(out.Response)))
	case ceiling: // over an inherited default it wins, as for clocks
		out.Response = min(out.Response, out.ResponseMax)
	case in.GetResponse() != "" && !base.maxByName:
		out.ResponseMax = out.Response
	case in.GetResponse() != "":
		out.ResponseMax = max(out.ResponseMax, out.Response)
	}
	out.maxByName = base.maxByName || ceiling
	return out
}

func (c *compiler) size(path, text string, base, ceiling int64) int64 {
	if text == "" {
		return base
	}
	n, err := parseSize(text)
	if err == nil && n > ceiling {
		err = fmt.Errorf("%s is over what fetchsvc takes, %s", text, FormatSize(ceiling))
	}
	if err != nil {
		c.fail(path, err)
		return base
	}
	return n
}
