package signals

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// The keys are what sets of attributes are remembered by.
type (
	requestKey struct {
		upstream, method, scheme, proto, failure string
		place                                    fetch.Place
		status                                   int
	}
	rpcMetricKey struct{ method, code, failure, door string }
	outcomeKey   struct{ caller, upstream, outcome string }
	attemptKey   struct {
		upstream string
		reason   fetch.Reason
		wire     fault.Wire
	}
	reusedKey struct {
		upstream string
		reused   bool
	}
	deniedKey struct{ kind, rule, upstream string }
	placeKey  struct {
		upstream string
		place    fetch.Place
	}
)

func (k outcomeKey) of() string { return k.upstream }
func (k attemptKey) of() string { return k.upstream }
func (k reusedKey) of() string  { return k.upstream }

// makeCaches makes them all, empty, and the tallies, which go by keys too.
func (m *meters) makeCaches() {
	m.ofRequest = newCache(requestKey.attributes).shared(func(k requestKey) string { return k.upstream }, requestKey.rest)
	m.ofRPC = newCache(rpcMetricKey.attributes)
	m.calls = newTally(func(k outcomeKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Caller.String(k.caller), telemetry.Upstream.String(k.upstream), telemetry.Outcome.String(k.outcome)}
	})
	m.ofDuration = pairs(telemetry.Outcome)
	m.ofUpstream = newCache(func(name string) []attribute.KeyValue { return []attribute.KeyValue{telemetry.Upstream.String(name)} })
	m.attempts = newTally(func(k attemptKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Upstream.String(k.upstream), telemetry.AttemptReason.String(k.reason.String()), telemetry.AttemptWire.String(k.wire.String())}
	})
	m.uses = newTally(func(k reusedKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Upstream.String(k.upstream), telemetry.ConnectionReused.Bool(k.reused)}
	})
	m.ofPair = map[attribute.Key]*cache[[2]string]{}
	for _, key := range []attribute.Key{telemetry.ErrorType, telemetry.RetryStopped, telemetry.WaitReason, telemetry.Rule} {
		m.ofPair[key] = pairs(key).shared(upstreamOf, otherOf)
	}
	m.ofDenied = newCache(func(k deniedKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.ErrorType.String(k.kind), telemetry.Rule.String(k.rule), telemetry.Upstream.String(k.upstream)}
	})
	m.ofPlace = newCache(func(k placeKey) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.ServerAddress.String(k.place.Address), telemetry.ServerPort.Int(int(k.place.Port)), telemetry.Upstream.String(k.upstream)}
	})
	m.ofKept = newCache(func(why string) []attribute.KeyValue { return []attribute.KeyValue{telemetry.Kept.String(why)} })
}

// pairs are sets of an upstream and one thing more.
func pairs(key attribute.Key) *cache[[2]string] {
	return newCache(func(k [2]string) []attribute.KeyValue {
		return []attribute.KeyValue{telemetry.Upstream.String(k[0]), key.String(k[1])}
	})
}

func upstreamOf(pair [2]string) string { return pair[0] }
func otherOf(pair [2]string) [2]string { return [2]string{pair[0], telemetry.Other} }

// rest is what is told of attempts of an upstream that has had too many kinds of them.
func (k requestKey) rest() requestKey {
	k.method, k.status, k.place.Port = telemetry.Other, 0, 0
	if k.failure != "" {
		k.failure = telemetry.Other
	}
	return k
}

func (k requestKey) attributes() []attribute.KeyValue {
	a := append(make([]attribute.KeyValue, 0, 8), telemetry.HTTPRequestMethod.String(k.method), telemetry.URLScheme.String(k.scheme),
		telemetry.ServerAddress.String(k.place.Address), telemetry.ServerPort.Int(int(k.place.Port)), telemetry.Upstream.String(k.upstream))
	if k.status != 0 {
		a = append(a, telemetry.HTTPResponseStatusCode.Int(k.status))
	}
	a = appendNonEmpty(a, telemetry.NetworkProtocolVersion, k.proto)
	return appendNonEmpty(a, telemetry.ErrorType, k.failure)
}

func (k rpcMetricKey) attributes() []attribute.KeyValue {
	a := append(make([]attribute.KeyValue, 0, 5), telemetry.RPCSystemName.String("grpc"), telemetry.RPCMethod.String(k.method),
		telemetry.RPCStatusCode.String(k.code), telemetry.Door.String(k.door))
	return appendNonEmpty(a, telemetry.ErrorType, k.failure)
}

// keyOf is what the conventions tell attempts apart by.
func keyOf(a *fetch.Attempt) requestKey {
	k := requestKey{upstream: a.Upstream, method: a.Method, scheme: a.URL.Scheme, proto: a.Proto, place: a.Place, status: a.Status}
	if !telemetry.KnownMethod(k.method) {
		k.method = telemetry.Other
	}
	if !realStatus(k.status) {
		k.status = 0
	}
	k.failure = attemptFailure(a)
	return k
}
