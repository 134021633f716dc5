package signals

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fetchsvc/fetchsvc/internal/auth"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// State is whom to ask when metrics are collected. All are required.
type State struct {
	Usage       func() []fetch.Usage
	Connections func() []egress.Connections
	Tokens      func() []auth.TokenState
	Secrets     func() []secret.SourceState
	Policy      func() PolicyState
	// Lost gives how much of each signal could not be sent.
	Lost func() telemetry.Lost
}

// PolicyState is how the policy stands.
type PolicyState struct {
	Generation int64
	Loaded     time.Time
	// Refused: the text that was read last is not in force.
	Refused bool
	// Reloads are those that were put in force, Failures those that were refused.
	Reloads, Failures int64
}

// Observe has meter ask of whenever metrics are collected.
func Observe(meter metric.Meter, of State) error {
	g := &gauges{state: of, ints: map[string]metric.Int64Observable{}, floats: map[string]metric.Float64Observable{}}
	var all []metric.Observable
	for _, m := range telemetry.Metrics() {
		if m.Reading != telemetry.Observed {
			continue
		}
		one, err := g.instrument(meter, m)
		if err != nil {
			return fmt.Errorf("signals: metric %s: %w", m.Name, err)
		}
		all = append(all, one)
	}
	_, err := meter.RegisterCallback(g.observe, all...)
	return err
}

// gauges are the instruments that are asked.
type gauges struct {
	state  State
	ints   map[string]metric.Int64Observable
	floats map[string]metric.Float64Observable
}

// instrument makes one. Seconds and budgets are fractions, the rest is counted.
func (g *gauges) instrument(meter metric.Meter, m telemetry.Metric) (metric.Observable, error) {
	unit, meaning := metric.WithUnit(m.Unit), metric.WithDescription(m.Meaning)
	switch {
	case m.Kind == telemetry.Counter:
		i, err := meter.Int64ObservableCounter(m.Name, unit, meaning)
		g.ints[m.Name] = i
		return i, err
	case m.Kind == telemetry.UpDownCounter:
		i, err := meter.Int64ObservableUpDownCounter(m.Name, unit, meaning)
		g.ints[m.Name] = i
		return i, err
	case m.Unit == "s" || m.Name == telemetry.MetricBudget:
		i, err := meter.Float64ObservableGauge(m.Name, unit, meaning)
		g.floats[m.Name] = i
		return i, err
	}
	i, err := meter.Int64ObservableGauge(m.Name, unit, meaning)
	g.ints[m.Name] = i
	return i, err
}

// observe is the callback.
func (g *gauges) observe(_ context.Context, to metric.Observer) error {
	o := observation{g, to}
	for _, u := range g.state.Usage() {
		o.usage(&u)
	}
	for _, c := range g.state.Connections() {
		place := []attribute.KeyValue{telemetry.ServerAddress.String(c.Address), telemetry.ServerPort.Int(int(c.Port)), telemetry.Upstream.String(c.Upstream)}
		o.int(telemetry.MetricDialing, c.Dialing, place...)
		o.int(telemetry.MetricOpenConnections, c.Active, append(place, telemetry.HTTPConnectionState.String("active"))...)
		o.int(telemetry.MetricOpenConnections, c.Idle, append(place, telemetry.HTTPConnectionState.String("idle"))...)
	}
	o.credentials()
	p := g.state.Policy()
	o.int(telemetry.MetricGeneration, p.Generation)
	o.int(telemetry.MetricReloads, p.Reloads, telemetry.Outcome.String("success"))
	o.int(telemetry.MetricReloads, p.Failures, telemetry.Outcome.String("failure"))
	success := int64(1)
	if p.Refused {
		success = 0
	}
	o.int(telemetry.MetricReloadSuccess, success)
	o.float(telemetry.MetricLoaded, float64(p.Loaded.UnixMilli())/1000)
	lost := g.state.Lost()
	o.int(telemetry.MetricLost, lost.Traces, telemetry.Signal.String("traces"))
	o.int(telemetry.MetricLost, lost.Metrics, telemetry.Signal.String("metrics"))
	o.int(telemetry.MetricLost, lost.Logs, telemetry.Signal.String("logs"))
	return nil
}

// observation is one asking.
type observation struct {
	*gauges
	to metric.Observer
}

func (o observation) int(name string, v int64, a ...attribute.KeyValue) {
	o.to.ObserveInt64(o.ints[name], v, metric.WithAttributes(a...))
}

func (o observation) float(name string, v float64, a ...attribute.KeyValue) {
	o.to.ObserveFloat64(o.floats[name], v, metric.WithAttributes(a...))
}

func (o observation) usage(u *fetch.Usage) {
	name := telemetry.Upstream.String(u.Upstream)
	o.int(telemetry.MetricActiveCalls, u.Calls, name)
	o.int(telemetry.MetricConnectionWaiting, u.Connecting, name)
	for at, n := range u.Attempts {
		o.int(telemetry.MetricActiveRequests, n, telemetry.ServerAddress.String(at.Address), telemetry.ServerPort.Int(int(at.Port)), name)
	}
	if u.Limit > 0 {
		o.int(telemetry.MetricQueueWaiting, int64(u.Queued), name)
		o.int(telemetry.MetricConcurrencyUsed, int64(u.Held), name)
		o.int(telemetry.MetricConcurrencyLimit, int64(u.Limit), name)
	}
	if u.Budget >= 0 {
		o.float(telemetry.MetricBudget, u.Budget, name)
	}
}

func (o observation) credentials() {
	for _, t := range o.state.Tokens() {
		name := telemetry.Credential.String(t.Credential)
		o.int(telemetry.MetricTokenFetches, t.Fetches-t.Failures, name, telemetry.Outcome.String("success"))
		o.int(telemetry.MetricTokenFetches, t.Failures, name, telemetry.Outcome.String("failure"))
		if t.Held {
			o.float(telemetry.MetricTokenAge, t.Age.Seconds(), name)
			o.float(telemetry.MetricTokenRemaining, t.Remaining.Seconds(), name)
		}
	}
	for _, s := range o.state.Secrets() {
		from := telemetry.SecretSource.String(s.Source)
		o.int(telemetry.MetricSecretReads, s.Reads-s.Failures, from, telemetry.Outcome.String("success"))
		o.int(telemetry.MetricSecretReads, s.Failures, from, telemetry.Outcome.String("failure"))
		if s.Reads > s.Failures {
			o.float(telemetry.MetricSecretAge, s.Oldest.Seconds(), from)
		}
	}
}
