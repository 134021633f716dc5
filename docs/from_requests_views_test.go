package docs_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// echo is the upstream of most cases.
func echo(t *testing.T, _ *requestsWorld) map[string]string {
	return map[string]string{"U": testpeer.Echo(t).URL}
}

// script is an upstream that runs script.
func script(s testpeer.Script) func(*testing.T, *requestsWorld) map[string]string {
	return func(t *testing.T, _ *requestsWorld) map[string]string {
		return map[string]string{"U": testpeer.Raw(t, s).URL}
	}
}

// answers is an upstream that says the same to every request.
func answers(body string, fields ...string) func(*testing.T, *requestsWorld) map[string]string {
	return script(testpeer.Answer(testpeer.Response(200, body, fields...)))
}

func httpbin(_ *testing.T, w *requestsWorld) map[string]string { return map[string]string{"U": w.bin} }

// unasked are headers that requests adds, and fetchsvc differently or not at all.
var unasked = map[string]bool{
	"accept": true, "accept-encoding": true, "cdn-loop": true, "connection": true, "host": true, "user-agent": true,
}

// requestsViews are what requests_peer.py compares too, by the same names.
var requestsViews = map[string]func(*testing.T, *fetchAnswer) any{
	"seen": func(t *testing.T, a *fetchAnswer) any { return seen(t, a) },
	"shown": func(t *testing.T, a *fetchAnswer) any {
		return map[string]any{
			"status": a.res["status"], "reason": a.res["reason"], "url": a.res["url"], "ok": ok(a),
			"history": each(a.res["history"], "status"), "body": string(a.content),
		}
	},
	"text": func(t *testing.T, a *fetchAnswer) any {
		return map[string]any{"text": a.res["text"], "encoding": a.res["charset"]}
	},
	"json":    func(t *testing.T, a *fetchAnswer) any { return a.res["json"] },
	"content": func(t *testing.T, a *fetchAnswer) any { return base64.StdEncoding.EncodeToString(a.content) },
	"cookies": func(t *testing.T, a *fetchAnswer) any { return pairs(a.res["cookies"], "name", "value") },
	"links":   func(t *testing.T, a *fetchAnswer) any { return pairs(a.res["links"], "rel", "url") },
	"headers": func(t *testing.T, a *fetchAnswer) any {
		joined := map[string]string{}
		for _, f := range list(a.res["headers"]) {
			name, value := strings.ToLower(f["name"].(string)), f["value"].(string)
			if before, more := joined[name]; more {
				value = before + ", " + value
			}
			if strings.HasPrefix(name, "x-") {
				joined[name] = value
			}
		}
		return joined
	},
}

// seen is what an echo received.
func seen(t *testing.T, a *fetchAnswer) map[string]any {
	t.Helper()
	e := testpeer.ReadEcho(t, bytes.NewReader(a.content))
	headers := map[string][]string{}
	for _, f := range e.Header {
		if name := strings.ToLower(f.Name); !unasked[name] {
			headers[name] = append(headers[name], f.Value)
		}
	}
	return map[string]any{"method": e.Method, "target": e.RequestURI, "headers": headers, "body": string(e.Body)}
}

func ok(a *fetchAnswer) bool { return a.res["status"].(float64) < 400 }

// list is a repeated message, empty if it is left out.
func list(v any) (all []map[string]any) {
	elements, _ := v.([]any)
	for _, e := range elements {
		all = append(all, e.(map[string]any))
	}
	return all
}

// each is one member of every element.
func each(v any, member string) []any {
	all := []any{}
	for _, e := range list(v) {
		all = append(all, e[member])
	}
	return all
}

// pairs makes a map of two members.
func pairs(v any, key, value string) map[string]any {
	all := map[string]any{}
	for _, e := range list(v) {
		all[e[key].(string)] = e[value]
	}
	return all
}

// last looks at the last answer alone.
func last(look func(a *fetchAnswer) any) func(*testing.T, []*fetchAnswer) any {
	return func(_ *testing.T, all []*fetchAnswer) any { return look(all[len(all)-1]) }
}

// member is one member of the last answer.
func member(name string) func(*testing.T, []*fetchAnswer) any {
	return last(func(a *fetchAnswer) any { return a.res[name] })
}

// elapsed is whether the call took that long.
func elapsed(atLeast time.Duration) func(*testing.T, []*fetchAnswer) any {
	return last(func(a *fetchAnswer) any {
		d, err := time.ParseDuration(a.res["elapsed"].(string))
		return err == nil && d >= atLeast
	})
}
