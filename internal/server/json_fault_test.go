package server

import (
	"strings"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// TestJSONFaults: each names the field, the reason and the fix.
func TestJSONFaults(t *testing.T) {
	for name, c := range map[string]struct{ in, field, say string }{
		"not json":               {`url=x`, "body", "send one JSON object"},
		"torn":                   {`{"url":"https://e.com/"`, "", ""},
		"a list":                 {`[]`, "body", "send one JSON object"},
		"unknown field":          {`{"urlx":1}`, "urlx", "the fields are method, url, params"},
		"unknown nested field":   {`{"url":"x","headers":[{"name":"a"},{"nam":"b"}]}`, "headers[1].nam", "the fields are name, value, raw_value"},
		"string wanted":          {`{"url":5}`, "url", "it takes a string"},
		"nested string wanted":   {`{"params":[{"name":"a","value":1}]}`, "params[0].value", "it takes a string"},
		"enum":                   {`{"as":"FOO"}`, "as", "one of BYTES, TEXT, JSON, AUTO"},
		"duration":               {"{\n \"timeouts\": {\"total\":\"5m\"}}", "timeouts.total", `such as "0.5s"`},
		"duration as a number":   {`{"timeouts":{"total":5}}`, "timeouts.total", `such as "0.5s"`},
		"base64":                 {`{"raw":"***"}`, "raw", "base64"},
		"behind other letters":   {`{"params":[{"name":"ü","value":"ééé"}],"timeouts":{"total":5}}`, "timeouts.total", `such as "0.5s"`},
		"too many values":        {`{"url":"https://e.com/","json":[` + strings.Repeat("0,", maxValues) + `0]}`, "json", "json_text"},
		"bool":                   {`{"skip_verify":"yes"}`, "skip_verify", "true or false"},
		"number":                 {`{"max_response_bytes":"many"}`, "max_response_bytes", "whole number"},
		"list wanted":            {`{"headers":{"a":"b"}}`, "headers", "a list"},
		"object wanted":          {`{"timeouts":3}`, "timeouts", "object of total"},
		"two bodies":             {`{"url":"https://e.com/","text":"a","json_text":"{}"}`, "json_text", "one kind of body"},
		"field given twice":      {`{"url":"https://e.com/","url":"https://f.com/"}`, "url", "duplicate"},
		"deep":                   {`{"json":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "json", "json_text"},
		"number beyond a double": {`{"json":{"id":9007199254740993}}`, "json", "json_text"},
		"unknown in form":        {`{"form":{"fields":[{"name":"a","x":1}]}}`, "form.fields[0].x", "name, value"},
		"trailing data":          {`{"url":"https://e.com/"} {}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := decodeJSON(strings.NewReader(c.in), &fetchsvcv1.FetchRequest{})
			if f == nil {
				t.Fatal("it is accepted")
			}
			if len(f.Violations) != 1 {
				t.Fatalf("got %v, want one violation", f)
			}
			if v := f.Violations[0]; c.field != "" && !strings.HasPrefix(v.Field, c.field) || !strings.Contains(v.Reason, c.say) || len(v.Reason) > 1500 {
				t.Errorf("got field %q, reason %q; want field %q and %q", v.Field, v.Reason, c.field, c.say)
			}
		})
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add(`{"url":"https://e.com/","headers":[{"name":"a","value":"b"}],"json":{"a":[1,2]}}`)
	f.Add(`{"timeouts":{"total":"x"}}`)
	f.Fuzz(func(t *testing.T, s string) {
		var in fetchsvcv1.FetchRequest
		if decodeJSON(strings.NewReader(s), &in) == nil {
			_, _ = buildRequest(&in, &caller{name: anonymous}) // must not panic
		}
	})
}
