package contract

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/api"
	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// expectProblem holds an answer of the REST door to a problem of kind.
func expectProblem(t *testing.T, res *http.Response, text []byte, kind string) *answer {
	t.Helper()
	a := ofProblem(res, text, strings.NewReplacer())
	if a.Kind != kind || a.Code != contractRows[kind].code {
		t.Errorf("reason is %q with code %q, want %q with %q", a.Kind, a.Code, kind, contractRows[kind].code)
	}
	for _, f := range a.faults {
		t.Error(f)
	}
	return a
}

// TestRESTBadJSON: a request that is no FetchRequest is refused with the field
// and the fix.
func TestRESTBadJSON(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ in, field, says string }{
		"empty body":               {``, "url", "required"},
		"empty object":             {`{}`, "url", "required"},
		"not an object":            {`["http://a.test/"]`, "body", "JSON object"},
		"text":                     {`hello`, "body", "JSON object"},
		"cut off":                  {`{"url":"http://a.test/"`, "", ""},
		"more behind it":           {`{"url":"http://a.test/"} {}`, "", ""},
		"unknown field":            {`{"url":"http://a.test/","body":"x"}`, "body", "no such field"},
		"unknown field, nested":    {`{"url":"http://a.test/","timeouts":{"connectt":"1s"}}`, "timeouts.connectt", "no such field"},
		"number for a string":      {`{"url":1}`, "url", ""},
		"list for a string":        {`{"url":["http://a.test/"]}`, "url", ""},
		"string for a list":        {`{"url":"http://a.test/","headers":"X: y"}`, "headers", ""},
		"map for a list":           {`{"url":"http://a.test/","params":{"a":"b"}}`, "params", ""},
		"string for a bool":        {`{"url":"http://a.test/","skip_verify":"yes"}`, "skip_verify", "true or false"},
		"number for a duration":    {`{"url":"http://a.test/","timeouts":{"total":5}}`, "timeouts.total", "0.5s"},
		"duration without unit":    {`{"url":"http://a.test/","timeouts":{"total":"5"}}`, "timeouts.total", "0.5s"},
		"enum that is none":        {`{"url":"http://a.test/","as":"XML"}`, "as", "TEXT"},
		"bytes that are no base64": {`{"url":"http://a.test/","raw":"#"}`, "raw", "base64"},
		"field twice":              {`{"url":"http://a.test/","url":"http://b.test/"}`, "url", ""},
		"two bodies":               {`{"url":"http://a.test/","text":"a","raw":"YQ=="}`, "raw", ""},
		"64-bit number in json":    {`{"url":"http://a.test/","json":{"id":9007199254740993}}`, "json", "json_text"},
		"json 101 deep":            {`{"url":"http://a.test/","json":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`, "json", "json_text"},
		"json 100,000 deep":        {`{"url":"http://a.test/","json":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "json", "json_text"},
		"not UTF-8":                {"{\"url\":\"http://a.test/\xff\"}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, text := w.post(t, "/v1/fetch", c.in)
			a := expectProblem(t, res, text, "INVALID_REQUEST")
			if len(a.Violations) == 0 || c.field != "" && a.Violations[0].Field != c.field || !strings.Contains(a.Message, c.says) {
				t.Errorf("violations are %q, want one of %q that says %q", a.Violations, c.field, c.says)
			}
		})
	}
}

// TestRESTTooLarge: a request of any size is answered with a reason.
func TestRESTTooLarge(t *testing.T) {
	w := newWorld(t)
	res, text := w.post(t, "/v1/fetch", `{"url":"http://a.test/","text":"`+strings.Repeat("x", 24<<20)+`"}`)
	a := expectProblem(t, res, text, "REQUEST_TOO_LARGE")
	if !strings.Contains(a.Message, "Stream") {
		t.Errorf("detail is %q, want a hint at Stream", a.Message)
	}
}

// TestRESTForeignPages: on loopback any web page is a potential caller.
func TestRESTForeignPages(t *testing.T) {
	w := newWorld(t)
	up := testpeer.Echo(t)
	host := strings.TrimPrefix(w.rest, "http://")
	_, port, _ := strings.Cut(host, ":")
	for name, c := range map[string]struct {
		header  http.Header
		allowed bool
	}{
		"no browser":                {http.Header{}, true},
		"localhost":                 {http.Header{"Host": {"localhost:" + port}}, true},
		"own page":                  {http.Header{"Origin": {w.rest}, "Sec-Fetch-Site": {"same-origin"}}, true},
		"typed into the browser":    {http.Header{"Sec-Fetch-Site": {"none"}}, true},
		"rebound name":              {http.Header{"Host": {"evil.example:" + port}}, false},
		"name without the port":     {http.Header{"Host": {"localhost"}}, false},
		"foreign origin":            {http.Header{"Origin": {"https://evil.example"}}, false},
		"origin of another port":    {http.Header{"Origin": {"http://127.0.0.1:1"}}, false},
		"origin by another scheme":  {http.Header{"Origin": {"https://" + host}}, false},
		"opaque origin":             {http.Header{"Origin": {"null"}}, false},
		"two origins":               {http.Header{"Origin": {w.rest, "https://evil.example"}}, false},
		"cross-site":                {http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
		"another site's subdomain":  {http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		"cross-site in other words": {http.Header{"Sec-Fetch-Site": {"who-knows"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(up.Requests())
			res, text := w.do(t, http.MethodPost, "/v1/fetch", `{"url":"`+up.URL+`"}`, c.header)
			if c.allowed {
				if res.StatusCode != http.StatusOK {
					t.Errorf("it is answered with %d, want 200: %s", res.StatusCode, text)
				}
				return
			}
			expectProblem(t, res, text, "FOREIGN_ORIGIN")
			if n := len(up.Requests()); n != before {
				t.Errorf("%d requests reached the upstream, want none", n-before)
			}
			if res, _ := w.do(t, http.MethodGet, "/v1/upstreams", "", c.header); res.StatusCode != http.StatusForbidden {
				t.Errorf("GET /v1/upstreams is answered with %d, want 403", res.StatusCode)
			}
		})
	}
}

// TestRESTHeadersReachNothing: a REST caller cannot set gRPC metadata, nor the
// upstream's headers but by `headers`.
func TestRESTHeadersReachNothing(t *testing.T) {
	w := newWorld(t)
	res, text := w.do(t, http.MethodPost, "/v1/fetch", `{"url":"`+testpeer.Echo(t).URL+`","as":"JSON"}`, http.Header{
		"Grpc-Metadata-X-Caller": {"admin"}, "Grpcgateway-Authorization": {"x"}, "Authorization": {"Bearer x"}, "Cookie": {"a=b"},
		"X-Forwarded-For": {"1.2.3.4"}, "X-Http-Method-Override": {"DELETE"}, "Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	})
	if res.StatusCode != http.StatusOK {
		t.Fatalf("it is answered with %d, want 200: %s", res.StatusCode, text)
	}
	var out struct {
		JSON testpeer.Echoed `json:"json"`
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range out.JSON.Header {
		got = append(got, f.Name)
	}
	if want := []string{"Host", "User-Agent", "Accept-Encoding"}; !slices.Equal(got, want) {
		t.Errorf("the upstream got the headers %q, want %q", got, want)
	}
	for name := range res.Header {
		if strings.HasPrefix(name, "Grpc") {
			t.Errorf("the answer has %s, want no gRPC metadata", name)
		}
	}
}

// TestRESTPaths: what the door serves beside calls, and what it does not.
func TestRESTPaths(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path string
		status       int
		contentType  string
		has          string
	}{
		{"GET", "/healthz", 200, "text/plain; charset=utf-8", "ok"},
		{"HEAD", "/healthz", 200, "text/plain; charset=utf-8", ""},
		{"GET", "/readyz", 200, "text/plain; charset=utf-8", "ok"},
		{"GET", "/openapi.json", 200, "application/json", `"openapi"`},
		{"GET", "/docs/", 200, "text/html", "swagger"},
		{"GET", "/docs", 200, "text/html", "swagger"},
		{"GET", "/v1/upstreams", 200, "application/json", `"bounded"`},
		{"GET", "/v1/policy:snapshot", 200, "application/json", `"contract.yaml"`},
		{"GET", "/v1/fetch", 405, "application/problem+json", "METHOD_NOT_ALLOWED"},
		{"PUT", "/v1/fetch", 405, "application/problem+json", "METHOD_NOT_ALLOWED"},
		{"OPTIONS", "/v1/fetch", 405, "application/problem+json", "METHOD_NOT_ALLOWED"},
		{"GET", "/v1/stream", 405, "application/problem+json", "METHOD_NOT_ALLOWED"},
		{"POST", "/v1/upstreams", 405, "application/problem+json", "METHOD_NOT_ALLOWED"},
		{"GET", "/v1/nothing", 404, "application/problem+json", "NOT_FOUND"},
		{"POST", "/v1/fetch/", 404, "application/problem+json", "NOT_FOUND"},
		{"POST", "/fetchsvc.v1.FetchService/Fetch", 404, "application/problem+json", "NOT_FOUND"},
		{"GET", "/", 404, "application/problem+json", "NOT_FOUND"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			res, text := w.do(t, c.method, c.path, "", nil)
			if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.contentType {
				t.Errorf("it is answered with %d %q, want %d %q", res.StatusCode, res.Header.Get("Content-Type"), c.status, c.contentType)
			}
			if !strings.Contains(string(text), c.has) {
				t.Errorf("the answer is %.200q, want it to have %q", text, c.has)
			}
			if c.status >= 400 {
				expectProblem(t, res, text, c.has)
			}
		})
	}
	t.Run("a form cannot turn POST into GET", func(t *testing.T) {
		res, text := w.do(t, http.MethodPost, "/v1/upstreams", "a=b", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		if res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("it is answered with %d, want 405: %.200s", res.StatusCode, text)
		}
	})
}

// TestRESTProblemIsDocumented: the error body has what api/openapi.json requires,
// and nothing that it does not know.
func TestRESTProblemIsDocumented(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string
				Properties map[string]struct{ Enum []any }
			}
		}
	}
	if err := json.Unmarshal(api.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	schema := doc.Components.Schemas["Problem"]
	if len(schema.Required) == 0 {
		t.Fatal("api/openapi.json has no Problem with required properties")
	}
	w := newWorld(t)
	for name, in := range map[string]string{
		"a fault of the request":  `{}`,
		"a fault of the upstream": `{"url":"` + testpeer.Raw(t, testpeer.CutBody).URL + `"}`,
		"a status":                `{"url":"` + testpeer.Raw(t, testpeer.Status("500")).URL + `","fail_on_status":true}`,
		"a redirect":              `{"url":"` + testpeer.Raw(t, testpeer.RedirectLoop(302)).URL + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, text := w.post(t, "/v1/fetch", in)
			var problem map[string]any
			if err := json.Unmarshal(text, &problem); err != nil {
				t.Fatal(err)
			}
			for _, p := range schema.Required {
				if _, ok := problem[p]; !ok {
					t.Errorf("%s is required and missing: %s", p, text)
				}
			}
			for p, value := range problem {
				property, known := schema.Properties[p]
				if !known {
					t.Errorf("%s is not documented", p)
				}
				if len(property.Enum) > 0 && !slices.Contains(property.Enum, value) {
					t.Errorf("%s is %v, want one of %v", p, value, property.Enum)
				}
			}
		})
	}
}

// TestDefaultAs: bytes over gRPC, readable over REST.
func TestDefaultAs(t *testing.T) {
	w := newWorld(t)
	up := testpeer.Raw(t, testpeer.OK)
	in := &fetchsvcv1.FetchRequest{Url: up.URL}
	if a := w.overGRPC(t, in, strings.NewReplacer()); a.Content != `bytes "ok"` {
		t.Errorf("over gRPC the content is %s, want bytes", a.Content)
	}
	if a := w.overREST(t, in, strings.NewReplacer()); a.Content != `text "ok"` {
		t.Errorf("over REST the content is %s, want text", a.Content)
	}
}
