package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fetchsvc/fetchsvc/api"
)

// TestFacts pins what generators commonly get wrong about this face.
func TestFacts(t *testing.T) {
	doc := parse(t, api.OpenAPI)
	field := func(path ...string) []string {
		return append([]string{"components", "schemas", path[0], "properties"}, path[1:]...)
	}
	post := func(path string, keys ...string) []string {
		return append([]string{"paths", path, "post"}, keys...)
	}
	problem := map[string]any{"$ref": "#/components/responses/Problem"}
	tests := []struct {
		name string
		at   []string
		want any
	}{
		{"names are the proto's", field("FetchRequest", "max_response_bytes", "format"), "int64"},
		{"no other spelling", field("FetchRequest", "maxResponseBytes"), nil},
		{"unknown fields are refused", []string{"components", "schemas", "FetchRequest", "additionalProperties"}, false},
		{"also in what a request holds", []string{"components", "schemas", "Timeouts", "additionalProperties"}, false},
		{"answers may grow", []string{"components", "schemas", "FetchResponse", "additionalProperties"}, nil},
		{"url is required", []string{"components", "schemas", "FetchRequest", "required"}, []any{"url"}},
		{"64 bits are a string", field("FetchResponse", "bytes_sent", "type"), "string"},
		{"or a number, when sent", field("FetchRequest", "max_response_bytes", "type"), []any{"string", "integer"}},
		{"bytes are base64", field("FetchRequest", "raw", "contentEncoding"), "base64"},
		{"durations are text", field("Timeouts", "total", "examples"), []any{"0.5s"}},
		{"enums are text", field("FetchRequest", "as", "$ref"), "#/components/schemas/FetchRequest.As"},
		{"a Value is anything", field("FetchRequest", "json", "type"), nil},
		{"bound of a string", field("FetchRequest", "url", "maxLength"), 65536.0},
		{"bound of a list", field("FetchRequest", "headers", "maxItems"), 200.0},
		{"bound of an integer", field("Retry", "max_attempts", "maximum"), 10.0},
		{"pattern", field("FetchRequest", "idempotency_key", "pattern"), "^[!-~]*$"},
		{"a stream is lines", post("/v1/stream", "requestBody", "content", "application/x-ndjson", "schema", "$ref"), "#/components/schemas/StreamRequest"},
		{"both ways", post("/v1/stream", "responses", "200", "content", "application/x-ndjson", "schema", "$ref"), "#/components/schemas/StreamLine"},
		{"or events", post("/v1/stream", "responses", "200", "content", "text/event-stream", "schema", "$ref"), "#/components/schemas/StreamLine"},
		{"a batch is answered in lines", post("/v1/fetch:batch", "responses", "200", "content", "application/x-ndjson", "schema", "$ref"), "#/components/schemas/FetchBatchResponse"},
		{"and asked for as a whole", post("/v1/fetch:batch", "requestBody", "content", "application/json", "schema", "$ref"), "#/components/schemas/FetchBatchRequest"},
		{"errors of the caller", post("/v1/fetch", "responses", "4XX"), problem},
		{"errors beyond", post("/v1/stream", "responses", "5XX"), problem},
		{"errors are problem+json", []string{"components", "responses", "Problem", "content", "application/problem+json", "schema", "$ref"}, "#/components/schemas/Problem"},
		{"a GET has no body", []string{"paths", "/v1/upstreams", "get", "requestBody"}, nil},
		{"health", []string{"paths", "/healthz", "get", "responses", "200", "content", "text/plain", "schema", "type"}, "string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, at(doc, tt.at...)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tt.at, diff)
			}
		})
	}
}
