// Package oteltest is a collector for tests, and holds what fetchsvc sends it against
// what it should be: span by span, as golden files; by OpenTelemetry's conventions, in
// tables of this package's own, written from the specification; and by the catalogue
// that docs/telemetry.md is made of.
//
// The service is the binary, run as an operator runs it: [Start] it with the URL of a
// [Sink], call it, [Service.Stop] it, and all that it had to tell is in the Sink.
package oteltest
