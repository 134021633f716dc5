package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// wayOut are the names, by import path, that reach the network or a resolver on
// their own. Merely naming a type counts: whoever holds an http.Client uses it.
var wayOut = map[string][]string{
	"net": {
		"Dial", "DialIP", "DialTCP", "DialTimeout", "DialUDP", "DialUnix", "Dialer",
		"DefaultResolver", "Resolver", "LookupAddr", "LookupCNAME", "LookupHost", "LookupIP",
		"LookupMX", "LookupNS", "LookupPort", "LookupSRV", "LookupTXT",
		"ResolveIPAddr", "ResolveTCPAddr", "ResolveUDPAddr",
	},
	"net/http": {
		"Client", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "Transport",
	},
	"net/http/httputil":      {"NewSingleHostReverseProxy", "ReverseProxy"}, // http.DefaultTransport unless told otherwise
	"crypto/tls":             {"Dial", "DialWithDialer", "Dialer"},
	"golang.org/x/net/http2": {"Transport"},
	"golang.org/x/net/proxy": {"*"},
	"google.golang.org/grpc": {"Dial", "DialContext", "NewClient"},
	"net/rpc":                {"*"},
	"net/smtp":               {"*"},
	"go.opentelemetry.io/otel/exporters/otlp/*": {"*"}, // dials its collector
}

// exempt are the files that may, besides internal/egress, and why.
var exempt = map[string]string{
	"cmd/fetchsvc/healthcheck.go": "asks its own process on loopback",
	"internal/telemetry/otlp.go":  "sends telemetry to the collector that the operator names",
}

// callsItself says that in dir grpc.NewClient is how one calls fetchsvc, which is
// what these packages are for.
func callsItself(dir string) bool { return within(dir, "cmd") || within(dir, "client") }

// inScope says that the lint holds for a file: all that ends up in the service
// or in callers, but for the one package that guards what it dials.
func inScope(s source) bool {
	dir := s.dir()
	return !s.isTest() && !tool[internalName(dir)] && !within(dir, "gen") && !within(dir, "internal/egress")
}

func TestOnlyEgressReachesOut(t *testing.T) {
	found, used := map[string]bool{}, map[string]bool{}
	present := map[string]bool{}
	for _, s := range sources(t) {
		present[s.path] = true
		if !inScope(s) {
			continue
		}
		for _, use := range uses(s) {
			if exempt[s.path] != "" {
				used[s.path] = true
				continue
			}
			found[fmt.Sprintf("%s: %s reaches the network without the guard: go through internal/egress, "+
				"or add the file to exempt in internal/layers/egress_test.go with its reason", s.set.Position(use.pos), use.name)] = true
		}
	}
	for file := range exempt {
		if present[file] && !used[file] {
			found[file+": exempt without need: take it out of internal/layers/egress_test.go"] = true
		}
	}
	report(t, found)
}

// use is one mention of a way out.
type use struct {
	pos  token.Pos
	name string // such as net/http.Get
}

// uses gives the ways out that a file names, however it calls the packages.
func uses(s source) (all []use) {
	local := map[string]string{} // the file's name of a package -> import path
	for _, spec := range s.syntax.Imports {
		p := importPath(spec)
		names := forbidden(p, s.dir())
		switch {
		case len(names) == 0:
		case names[0] == "*":
			all = append(all, use{spec.Pos(), p})
		case spec.Name == nil:
			local[path.Base(p)] = p
		case spec.Name.Name == ".":
			all = append(all, use{spec.Pos(), `import . "` + p + `"`}) // its names cannot be told apart
		default:
			local[spec.Name.Name] = p
		}
	}
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(forbidden(local[x.Name], s.dir()), sel.Sel.Name) {
			all = append(all, use{sel.Pos(), local[x.Name] + "." + sel.Sel.Name})
		}
		return true
	})
	return all
}

// forbidden gives the names of an import that a file in dir must not use; "*"
// means the whole of it.
func forbidden(importPath, dir string) []string {
	if importPath == "google.golang.org/grpc" && callsItself(dir) {
		return nil
	}
	for p, names := range wayOut {
		if prefix, ok := strings.CutSuffix(p, "*"); p == importPath || ok && strings.HasPrefix(importPath, prefix) {
			return names
		}
	}
	return nil
}

func TestEgressLintCatches(t *testing.T) {
	tests := []struct {
		name, dir string
		imports   string
		body      string
		want      []string
	}{
		{name: "client value", imports: `"net/http"`, body: `_ = http.Client{}`, want: []string{"net/http.Client"}},
		{name: "client pointer", imports: `"net/http"`, body: `_ = &http.Client{Timeout: 1}`, want: []string{"net/http.Client"}},
		{name: "client by new", imports: `"net/http"`, body: `_ = new(http.Client)`, want: []string{"net/http.Client"}},
		{name: "client variable", imports: `"net/http"`, body: `var c http.Client; _ = c`, want: []string{"net/http.Client"}},
		{name: "client parameter", imports: `"net/http"`, body: `_ = func(c *http.Client) {}`, want: []string{"net/http.Client"}},
		{name: "get", imports: `"net/http"`, body: `http.Get("")`, want: []string{"net/http.Get"}},
		{name: "head", imports: `"net/http"`, body: `http.Head("")`, want: []string{"net/http.Head"}},
		{name: "post", imports: `"net/http"`, body: `http.Post("", "", nil)`, want: []string{"net/http.Post"}},
		{name: "post form", imports: `"net/http"`, body: `http.PostForm("", nil)`, want: []string{"net/http.PostForm"}},
		{name: "function value", imports: `"net/http"`, body: `get := http.Get; get("")`, want: []string{"net/http.Get"}},
		{name: "default client", imports: `"net/http"`, body: `http.DefaultClient.Do(nil)`, want: []string{"net/http.DefaultClient"}},
		{name: "default transport", imports: `"net/http"`, body: `http.DefaultTransport.RoundTrip(nil)`, want: []string{"net/http.DefaultTransport"}},
		{name: "own transport", imports: `"net/http"`, body: `_ = &http.Transport{}`, want: []string{"net/http.Transport"}},
		{name: "HTTP/2 transport", imports: `"golang.org/x/net/http2"`, body: `_ = &http2.Transport{}`, want: []string{"golang.org/x/net/http2.Transport"}},
		{name: "reverse proxy", imports: `"net/http/httputil"`, body: `_ = &httputil.ReverseProxy{}`, want: []string{"net/http/httputil.ReverseProxy"}},
		{name: "dial", imports: `"net"`, body: `net.Dial("tcp", "")`, want: []string{"net.Dial"}},
		{name: "dial with timeout", imports: `"net"`, body: `net.DialTimeout("tcp", "", 1)`, want: []string{"net.DialTimeout"}},
		{name: "dial TCP", imports: `"net"`, body: `net.DialTCP("tcp", nil, nil)`, want: []string{"net.DialTCP"}},
		{name: "dial UDP", imports: `"net"`, body: `net.DialUDP("udp", nil, nil)`, want: []string{"net.DialUDP"}},
		{name: "dial IP", imports: `"net"`, body: `net.DialIP("ip", nil, nil)`, want: []string{"net.DialIP"}},
		{name: "dial Unix", imports: `"net"`, body: `net.DialUnix("unix", nil, nil)`, want: []string{"net.DialUnix"}},
		{name: "dialer", imports: `"net"`, body: `(&net.Dialer{}).Dial("", "")`, want: []string{"net.Dialer"}},
		{name: "resolver", imports: `"net"`, body: `_ = net.Resolver{}`, want: []string{"net.Resolver"}},
		{name: "default resolver", imports: `"net"`, body: `net.DefaultResolver.LookupHost(nil, "")`, want: []string{"net.DefaultResolver"}},
		{name: "lookup", imports: `"net"`, body: `net.LookupIP("")`, want: []string{"net.LookupIP"}},
		{name: "resolve", imports: `"net"`, body: `net.ResolveTCPAddr("tcp", "")`, want: []string{"net.ResolveTCPAddr"}},
		{name: "TLS dial", imports: `"crypto/tls"`, body: `tls.Dial("", "", nil)`, want: []string{"crypto/tls.Dial"}},
		{name: "TLS dial with dialer", imports: `"crypto/tls"`, body: `tls.DialWithDialer(nil, "", "", nil)`, want: []string{"crypto/tls.DialWithDialer"}},
		{name: "TLS dialer", imports: `"crypto/tls"`, body: `_ = tls.Dialer{}`, want: []string{"crypto/tls.Dialer"}},
		{name: "gRPC", imports: `"google.golang.org/grpc"`, body: `grpc.NewClient("")`, want: []string{"google.golang.org/grpc.NewClient"}},
		{name: "SOCKS", imports: `"golang.org/x/net/proxy"`, body: ``, want: []string{"golang.org/x/net/proxy"}},
		{name: "exporter", imports: `"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"`, body: ``,
			want: []string{"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"}},
		{name: "renamed import", imports: `web "net/http"`, body: `web.Get("")`, want: []string{"net/http.Get"}},
		{name: "dot import", imports: `. "net/http"`, body: `Get("")`, want: []string{`import . "net/http"`}},
		{name: "two", imports: `"net"; "net/http"`, body: `net.Dial("", ""); http.Get("")`, want: []string{"net.Dial", "net/http.Get"}},

		{name: "serving", imports: `"net"; "net/http"`, body: `net.Listen("tcp", ""); _ = http.Server{}; var _ http.RoundTripper`},
		{name: "another package of that name", imports: `http "example.com/http"`, body: `http.Get("")`},
		{name: "a method of that name", imports: `"net/http"`, body: `var h http.Header; h.Get("")`},
		{name: "in words", imports: `"net/http"`, body: `_ = "http.Get" // http.DefaultClient` + "\n" + `_ = http.MethodGet`},
		{name: "calling fetchsvc", dir: "cmd/fetchsvc", imports: `"google.golang.org/grpc"`, body: `grpc.NewClient("")`},
		{name: "calling fetchsvc from outside", dir: "client", imports: `"google.golang.org/grpc"`, body: `grpc.NewClient("")`},
		{name: "serving gRPC", imports: `"google.golang.org/grpc"`, body: `grpc.NewServer()`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.dir == "" {
				tt.dir = "internal/fetch"
			}
			s := source{path: tt.dir + "/snippet.go", set: token.NewFileSet()}
			code := "package p\nimport (" + tt.imports + ")\nfunc f() {\n" + tt.body + "\n}\n"
			var err error
			if s.syntax, err = parser.ParseFile(s.set, s.path, code, parser.SkipObjectResolution); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, u := range uses(s) {
				got = append(got, u.name)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestEgressLintScope keeps the lint from losing the packages that matter.
func TestEgressLintScope(t *testing.T) {
	for file, want := range map[string]bool{
		"internal/fetch/call.go":          true,
		"internal/server/rest.go":         true,
		"internal/fetch/ring/retry.go":    true,
		"cmd/fetchsvc/main.go":            true,
		"client/client.go":                true,
		"internal/egress/dialer.go":       false,
		"internal/fetch/call_test.go":     false,
		"internal/testpeer/server.go":     false,
		"gen/fetchsvc/v1/service.pb.go":   false,
		"internal/egressive/elsewhere.go": true,
	} {
		if got := inScope(source{path: file}); got != want {
			t.Errorf("%s: in scope %v, want %v", file, got, want)
		}
	}
}
