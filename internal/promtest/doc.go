// Package promtest holds what stands in deploy/observability against what fetchsvc
// really serves: rules and alerts of Prometheus, the dashboard of Grafana and the
// configuration of the collector name metrics that there are, and a real Prometheus
// scrapes a real service by them. It has no code of its own and is never imported.
package promtest
