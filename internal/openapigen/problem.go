package main

import (
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// problem is the body of every error: RFC 9457 and our extension members.
func (f *face) problem() object {
	var reasons, codes []any
	for _, k := range fault.Kinds() {
		reasons = append(reasons, k)
	}
	values := code.Code(0).Descriptor().Values()
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != protoreflect.EnumNumber(code.Code_OK) {
			codes = append(codes, v.Name())
		}
	}
	text := func(description string) object {
		return object{{"type", "string"}, {"description", description}}
	}
	array := func(item object, description string) object {
		return object{{"type", "array"}, {"items", item}, {"description", description}}
	}
	violation := object{
		{"type", "object"},
		{"properties", object{
			{"field", text("The field's path, such as `headers[2].name`.")},
			{"reason", text("What is wrong with it and what to write instead.")},
		}},
		{"required", []any{"field", "reason"}},
	}
	return object{
		{"type", "object"},
		{"description", "Why there is no usable response (RFC 9457). It says what a gRPC error says."},
		{"properties", object{
			{"type", object{{"type", "string"}, {"format", "uri-reference"}, {"description", "Identifies the kind of problem."}}},
			{"title", text("The kind of problem, for people.")},
			{"status", object{{"type", "integer"}, {"minimum", 400}, {"maximum", 599}, {"description", "The HTTP status of this answer."}}},
			{"detail", text("What happened to this call, for people.")},
			{"reason", object{{"type", "string"}, {"enum", reasons},
				{"description", "What happened, for programs. Reasons may be added, never renamed."}}},
			{"source", object{{"type", "string"}, {"enum", []any{"gateway", "upstream", "proxy"}}, {"description", "Who failed."}}},
			{"proxy_error", text("The error type of RFC 9209 section 2.3, such as `dns_timeout`, as in Proxy-Status.")},
			{"safe_to_retry", object{{"type", "boolean"},
				{"description", "Sending the same call again cannot do its work twice."}}},
			{"grpc_code", object{{"type", "string"}, {"enum", codes}, {"description", "The code that the same call over gRPC ends with."}}},
			{"retry_after", append(durationSchema(), member{"description", "How long to wait before trying again."})},
			{"upstream_status", object{{"type", "integer"}, {"minimum", 100}, {"maximum", 999},
				{"description", "The upstream's status, where fail_on_status made it an error."}}},
			{"trace_id", object{{"type", "string"}, {"pattern", "^[0-9a-f]{32}$"}, {"description", "The trace of the call, as logs and tracing have it."}}},
			{"errors", array(violation, "The faults of the request.")},
			{"attempts", array(ref("Attempt"), "The attempts that were made, oldest first.")},
			{"history", array(ref("Hop"), "The redirects that were followed, oldest first.")},
			{"shortened", object{{"type", "boolean"}, {"description", "Attempts or history were left out or cut to keep the error small."}}},
		}},
		{"required", []any{"type", "title", "status", "detail", "reason", "source", "safe_to_retry", "grpc_code"}},
	}
}

func problemResponse() object {
	header := func(description string) object {
		return object{{"description", description}, {"schema", object{{"type", "string"}}}}
	}
	return object{
		{"description", "There is no usable response. An upstream's 404 is none of these: it is a 200 with `\"status\": 404`."},
		{"headers", object{
			{"Proxy-Status", header("Who failed and how (RFC 9209).")},
			{"Retry-After", header("Whole seconds to wait before trying again (RFC 9110 section 10.2.3), where that is known.")},
		}},
		{"content", object{{"application/problem+json", object{{"schema", ref("Problem")}}}}},
	}
}

// streamLine is one line of a streamed answer: the message, or a late failure.
func streamLine() object {
	return object{
		{"description", "One line of a streamed answer."},
		{"anyOf", []any{
			ref("StreamResponse"),
			object{
				{"type", "object"},
				{"properties", object{{"error", ref("Problem")}}},
				{"required", []any{"error"}},
			},
		}},
	}
}

// status is google.rpc.Status, the error of one call of a batch.
func status() object {
	typed := object{
		{"type", "object"},
		{"properties", object{{"@type", object{{"type", "string"}}}}},
		{"required", []any{"@type"}},
	}
	ledger := object{
		{"properties", object{{"@type", object{{"const", "type.googleapis.com/" + string(apiPackage) + ".CallLedger"}}}}},
		{"allOf", []any{ref("CallLedger")}},
		{"required", []any{"@type"}},
	}
	return object{
		{"type", "object"},
		{"description", "google.rpc.Status: an error as gRPC has it."},
		{"properties", object{
			{"code", object{{"type", "integer"}, {"format", "int32"}, {"description", "The gRPC code."}}},
			{"message", object{{"type", "string"}, {"description", "What happened to this call, for people."}}},
			{"details", object{
				{"type", "array"},
				{"items", object{{"anyOf", []any{ledger, typed}}}},
				{"description", "google.rpc.ErrorInfo (domain `fetchsvc`, its reason as in Problem), RetryInfo, BadRequest, " +
					"and the ledger of the call."},
			}},
		}},
	}
}
