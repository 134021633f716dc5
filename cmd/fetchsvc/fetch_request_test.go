package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// parse reads a command line as fetch does, up to the request.
func parse(t *testing.T, stdin string, args ...string) (*fetchsvcv1.FetchRequest, error) {
	t.Helper()
	o := &fetchOptions{}
	set := pflag.NewFlagSet("fetch", pflag.ContinueOnError)
	o.flags(set)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() != 1 {
		t.Fatalf("%q: got %q as arguments, want one URL", args, set.Args())
	}
	return o.request(set.Arg(0), &inputs{ctx: t.Context(), stdin: strings.NewReader(stdin)})
}

// TestRequest shows what each flag makes of the request. The golden file is
// the specification: a command line, then the request or the error.
func TestRequest(t *testing.T) {
	const u = "http://h/"
	cases := [][]string{
		{u},
		{"-X", "PATCH", u}, {u, "-XPURGE"}, {"--request=OPTIONS", u}, {"-I", u}, {"-I", "-X", "GET", u},

		{"-H", "A: 1", u, "-H", "a:2", "--header", "B: x: y "}, {"-H", "Empty;", u}, {"-H", "X-Latin: \xfc", u},
		{"-H", "Gone:", u}, {"-H", "no colon", u}, {"-H", "bad\xff: 1", u},
		{"-A", "me/1", u}, {"-A", "", u}, {"-A", "me/1", "-H", "user-agent: you/2", u},

		{"-q", "q=python requests", "-q", "q=ü&=", "--param", "empty=", u}, {"-q", "raw=\xff", u}, {"-q", "noequals", u},
		{"-b", "a=1; b=2;", "--cookie", "c=x=y", u}, {"-b", "jar.txt", u},

		{"-d", "a=1", u, "-d", "b=2"}, {"-d", "", u}, {"-dx", u}, {"-X", "PUT", "-d", "x", u},
		{"-d", "x", "-H", "Content-Type: text/plain", u}, {"-d", "x", "-H", "Content-Type:", u},
		{"-d", "@testdata/lines.txt", u}, {"--data-binary", "@testdata/lines.txt", u}, {"--data-raw", "@home", u},
		{"-d", "@-", u}, {"-d", "@-", "-d", "@-", u}, {"-d", "@testdata/none", u}, {"-d", "\xff", u},

		{"-G", "-d", "a=1 2", "-d", "b=3", u}, {"-G", "-d", "c=3", "http://h/?a=1#frag"}, {"-G", "-d", "c=3", "http://h/?"},
		{"-G", u}, {"-G", "-I", "-d", "a=1", u}, {"-G", "--json", "1", u},

		{"--json", `{"n": 12345678901234567890}`, u}, {"--json", "@testdata/body.json", u}, {"--json", "@-", u},
		{"--json", `{"a":`, "--json", "1}", u}, {"--json", "1", "-H", "accept: text/x", u}, {"--json", "\"\xff\"", u},
		{"--json", "1", "-d", "x", u}, {"--json", "1", "-F", "a=b", u}, {"-d", "1", "-F", "a=b", u}, {"-I", "-d", "x", u},

		{"-F", "a=b", "--form", "a=c", u}, {"-F", "a=", u}, {"-F", "a=b=c", u}, {"-F", "a=\xff", u},
		{"-F", "f=@testdata/lines.txt", u}, {"-F", "f=@testdata/lines.txt;type=text/csv;filename=x.csv", u},
		{"-F", `f=@"testdata/lines.txt";filename="a \"b\"; c.txt"`, u},
		{"-F", "f=@testdata/lines.txt,testdata/body.json;type=text/x", u}, {"-F", "f=@-;filename=in.txt", u},
		{"-F", "t=<testdata/lines.txt;type=text/plain", u}, {"-F", "t=<-", u},
		{"-F", `t="red; green";type=text/x-app; charset="u 8";format=flowed`, u}, {"-F", `t=x;headers="X-A: 1; y";headers=X-B: 2`, u},
		{"--form-string", `t=@x;type="y"`, u},
		{"-F", "a", u}, {"-F", "=b", u}, {"-F", "a=b;c", u}, {"-F", "a=b;type=text", u}, {"-F", "a=b;encoder=base64", u},
		{"-F", `a="b`, u}, {"-F", `a="b"c`, u}, {"-F", "a=x;headers=y", u}, {"-F", "f=@testdata/none", u},
		{"-F", "f=@-", "-F", "g=<-", u},

		{"-m", "2.5", u}, {"--max-time=1m30s", "--connect-timeout", "500ms", u}, {"-m0", u},
		{"-m", "soon", u}, {"-m", "-1", u}, {"-m", "NaN", u}, {"-m", "1e300", u}, {"-m", "25h", u}, {"--connect-timeout", "1us", u},
		{"--no-location", u}, {"-L", u}, {"--no-location", "-L", u}, {"--max-redirs", "3", u}, {"--max-redirs=0", u}, {"--max-redirs", "-1", u},
		{"--max-response-bytes", "1000", u}, {"--max-response-bytes", "2MiB", u}, {"--max-response-bytes", "2M", u},
		{"--max-response-bytes", "3kb", u}, {"--max-response-bytes", "0", u}, {"--max-response-bytes", "9999999999GiB", u},
		{"--max-response-bytes", "2 apples", u},
		{"--raw-coding", u}, {"--compressed", u}, {"--idempotency-key", "k-1", u}, {"-f", u}, {"--print-json", u}, {"--print-json", "-i", u},

		{"--stream", "-d", "x", u}, {"--stream", "-m", "5", "--connect-timeout", "1", u}, {"--sse", u}, {"--sse", "-H", "Accept: a/b", u},
		{"--lines", "--max-response-bytes", "1MiB", u}, {"--sse", "--lines", u}, {"--stream", "--print-json", u}, {"--stream", "-I", u},
		{"-T", "testdata/lines.txt", u}, {"-T", "testdata/lines.txt", "http://h"}, {"-T", "testdata/lines.txt", "http://h/a/?b=/"},
		{"-T", "testdata/lines.txt", "-X", "POST", "http://h/a"}, {"-T", "-", u}, {"--upload-file=-", "--expect-continue", u}, {"-T", os.DevNull, "http://h/a"},
		{"-T", "testdata/lines.txt", "--trailer", "X-Sum: 1", "--trailer", "X-Raw:\xfc", "http://h/a"}, {"-T", "-", "--trailer", "none", u},
		{"-T", "-", "-G", "-d", "a=1", u}, {"-T", "-", "-G", "-d", "@-", u}, {"-T", "-", "-d", "x", u}, {"-T", "-", "-F", "a=b", u}, {"-T", "-", "-I", u},
		{"-T", "testdata", u}, {"-T", "testdata/none", u}, {"--trailer", "A: 1", u}, {"--expect-continue", u},

		{"--nope", u}, {"bad\xff"},
	}
	var out strings.Builder
	for _, args := range cases {
		fmt.Fprintf(&out, "fetch %+q\n", args)
		req, err := parse(t, "from\nstdin", args...)
		if err != nil {
			fmt.Fprintf(&out, "  exit %d: %v\n", exitCode(err), err)
			continue
		}
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(req)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		var compact bytes.Buffer // protojson's spaces differ from build to build
		if err := json.Compact(&compact, text); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "  %s\n", compact.String())
	}
	golden(t, "requests.golden", out.String())
}

func TestRequestBodyLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, maxSent+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range [][]string{{"--data-binary", "@" + file}, {"--json", "@" + file}, {"-F", "f=@" + file}} {
		_, err := parse(t, "", append(flag, "http://h/")...)
		if err == nil || exitCode(err) != exitInvalid || !strings.Contains(err.Error(), "16 MiB") {
			t.Errorf("%s with a byte too many: got %v, want exit code %d and the limit", flag[0], err, exitInvalid)
		}
	}
	if err := os.Truncate(file, maxSent); err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, "", "--data-binary", "@"+file, "http://h/"); err != nil {
		t.Errorf("the largest body: %v", err)
	}
}

func TestServerFromEnvironment(t *testing.T) {
	for _, tt := range []struct{ env, want string }{{"", "127.0.0.1:9090"}, {"10.0.0.1:1", "10.0.0.1:1"}} {
		t.Setenv("FETCHSVC_SERVER", tt.env)
		if got := newFetch().Flag("server").Value.String(); got != tt.want {
			t.Errorf("FETCHSVC_SERVER=%q: got %q, want %q", tt.env, got, tt.want)
		}
	}
}

// TestHelp shows a reviewer what a user reads.
func TestHelp(t *testing.T) {
	t.Setenv("FETCHSVC_SERVER", "")
	for command, file := range map[string]string{"fetch": "help.golden", "batch": "help_batch.golden"} {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{command, "--help"})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		golden(t, file, out.String())
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234567 * time.Microsecond: "1.235s", 12345 * time.Microsecond: "12.35ms", 1500 * time.Nanosecond: "2µs", 0: "0s",
	} {
		if got := brief(d); got != want {
			t.Errorf("brief(%d): got %s, want %s", d, got, want)
		}
	}
}
