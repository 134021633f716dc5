package main

import (
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func (f *face) tags() []any {
	var tags []any
	for _, s := range f.services {
		tags = append(tags, object{{"name", s.Name()}, {"description", comment(s)}})
	}
	return append(tags, object{{"name", "Service"}, {"description", "The service itself."}})
}

// paths describes every RPC that has an HTTP binding, and the service's own pages.
func (f *face) paths() (object, error) {
	var paths object
	for _, s := range f.services {
		for i := range s.Methods().Len() {
			path, item, err := operation(s.Methods().Get(i))
			if err != nil {
				return nil, err
			}
			paths = append(paths, member{path, item})
		}
	}
	return append(paths, pages()...), nil
}

// operation gives an RPC's path and its path item. Every RPC has one binding,
// with the whole message as the body, or with an empty message and GET.
func operation(m protoreflect.MethodDescriptor) (path string, item object, err error) {
	rule := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	o := object{
		{"tags", []any{m.Parent().Name()}},
		{"operationId", m.Name()},
		{"summary", sentence(comment(m))},
		{"description", comment(m)},
	}
	verb := "post"
	switch {
	case rule.GetPost() != "" && rule.GetBody() == "*":
		path = rule.GetPost()
		o = append(o, member{"requestBody", request(m)})
	case rule.GetGet() != "" && m.Input().Fields().Len() == 0:
		path, verb = rule.GetGet(), "get"
	default:
		return "", nil, unsupported(m, "its HTTP binding")
	}
	o = append(o, member{"responses", object{
		{"200", answer(m)},
		{"4XX", object{{"$ref", "#/components/responses/Problem"}}},
		{"5XX", object{{"$ref", "#/components/responses/Problem"}}},
	}})
	return path, object{{verb, o}}, nil
}

const ndjson = "application/x-ndjson"

func request(m protoreflect.MethodDescriptor) object {
	contentType, text := "application/json", comment(m.Input())
	if m.IsStreamingClient() {
		contentType = ndjson
		text = "Lines, each one JSON object of this schema. " + text
	}
	media := object{{"schema", ref(schemaName(m.Input()))}}
	if e, ok := examples[m.Name()]; ok {
		media = append(media, member{"example", e})
	}
	return object{
		{"description", text},
		{"required", true},
		{"content", object{{contentType, media}}},
	}
}

// examples are what a reader can send as it stands.
var examples = map[protoreflect.Name]any{
	"Fetch":      object{{"url", "https://example.com/"}},
	"Stream":     object{{"start", object{{"url", "https://example.com/"}}}},
	"FetchBatch": object{{"requests", []any{object{{"url", "https://example.com/"}}}}},
	"Explain":    object{{"request", object{{"url", "https://example.com/"}}}},
}

func answer(m protoreflect.MethodDescriptor) object {
	schema := ref(schemaName(m.Output()))
	switch {
	case m.IsStreamingClient() && m.IsStreamingServer():
		return object{
			{"description", "Lines, each one JSON object of this schema: a `head`, the body, an `end`. " +
				"A failure after the head is a last line with `error`, and then the connection breaks: " +
				"a body without `end` is not whole. With `Accept: text/event-stream` every line is the " +
				"data of one event."},
			{"content", object{
				{ndjson, object{{"schema", ref("StreamLine")}}},
				{"text/event-stream", object{{"schema", ref("StreamLine")}}},
			}},
		}
	case m.IsStreamingServer():
		return object{
			{"description", "Lines, each one JSON object of this schema. " + comment(m.Output())},
			{"content", object{{ndjson, object{{"schema", schema}}}}},
		}
	default:
		text := comment(m.Output())
		if text == "" {
			text = "The answer."
		}
		return object{
			{"description", text},
			{"content", object{{"application/json", object{{"schema", schema}}}}},
		}
	}
}

// pages are the paths of the REST port that are no RPC.
func pages() object {
	plain := func(description string) object {
		return object{
			{"description", description},
			{"content", object{{"text/plain", object{{"schema", object{{"type", "string"}}}}}}},
		}
	}
	get := func(id, summary string, responses object) object {
		return object{{"get", object{
			{"tags", []any{"Service"}}, {"operationId", id}, {"summary", summary}, {"responses", responses},
		}}}
	}
	return object{
		{"/healthz", get("Health", "Whether the process runs", object{{"200", plain("`ok`")}})},
		{"/readyz", get("Ready", "Whether the process takes calls", object{
			{"200", plain("`ok`")},
			{"503", plain("Why it takes none, such as that it is shutting down.")},
		})},
		{"/openapi.json", get("OpenAPI", "This document", object{{"200", object{
			{"description", "This document."},
			{"content", object{{"application/json", object{{"schema", object{{"type", "object"}}}}}}},
		}}})},
	}
}
