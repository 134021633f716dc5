package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

// logKeys are the keys of the log's lines, and what stands there.
var logKeys = map[string]string{
	"time": "When, by RFC 3339.", "level": "`DEBUG`, `INFO`, `WARN` or `ERROR`.", "msg": "The line.",
	telemetry.LogTraceID: "The trace of the call that the line is about; in OTLP the record's own.",
	telemetry.LogSpanID:  "The span of it, likewise.",

	"again_in": "How long the door waits before it accepts again.", "caller": "The caller's name in the policy.",
	"calls":      "How many `fetchsvc dev` could not print.",
	"count":      "How many, since the line before.",
	"credential": "The credential's name in the policy.", "door": "The address that it listens to.",
	"end": "When the token ends.", "endpoint": "Where it is sent.",
	"error": "What went wrong, and what to do where that is known. Secrets and answers of servers are not quoted.",
	"every": "How often it is looked at instead.", "expires": "When the new certificate runs out.",
	"file": "The file, as the policy or the flag has it.", "generation": "Of the policy in force, counted from 1.",
	"grace": "What `--grace` says.", "grant": "How the token is asked for.", "grpc": "The address of the gRPC door.",
	"issuer": "The issuer's name in the policy.", "key": "Which value at the vault's path.",
	"log_level": "What is logged from here on; only where that changed.",
	"last":      "The address that the last one came from.", "left_out": "How many lines like this one were left out before it.",
	"lost": "How much could not be written or sent.", "method": "The call's method.",
	"oauth_error": "The server's code (RFC 6749 section 5.2), if it is one of those there are.",
	"panic":       "What the code said as it broke.", "path": "A file, a path of the REST door or of a vault.",
	"peer": "The client's address.", "policy": "The file or folder that `--policy` names.",
	"protocol": "`grpc` or `http/protobuf`.", "reason": "Why the call would be refused.",
	"rest": "The address of the REST door.", "rpc.method": "The RPC's full name.", "sha256": "Of the policy's text, as `fetchsvc policy` shows it.",
	"signal": "`traces`, `metrics` or `logs`.",
	"stack":  "Where in the code.", "status": "The HTTP status that the server answered; 0: it did not.",
	"suppressed": "How many more such calls there were since the line before.", "tls": "Whether the doors speak TLS.",
	"torn": "The line that a crash cut off, by its length and SHA-256.", "upstream": "The upstream's name in the policy.",
	"upstreams": "How many the policy has.", "url": "Scheme, host, port and path; never the query.",
	"vault":   "The vault's name in the policy.",
	"version": "Of fetchsvc; in a line about a secret, the vault's number of it.", "warnings": "How many things `fetchsvc check` would warn of.",
	"why": "What the client did.",
}

// logLine is one that the service may log.
type logLine struct {
	level, text string
	keys        []string
}

var (
	logLevels   = []string{"ERROR", "WARN", "INFO", "DEBUG"}
	logReceiver = regexp.MustCompile(`^(?:log|Log|own)$`)
)

// logLines are found in the sources: whatever is called on what is named as a log is.
func logLines(t *testing.T) (all []logLine) {
	t.Helper()
	for _, dir := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if l, ok := logLineOf(t, name, call); ok {
						all = append(all, l)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(all, func(a, b logLine) int {
		if d := slices.Index(logLevels, a.level) - slices.Index(logLevels, b.level); d != 0 {
			return d
		}
		return strings.Compare(a.text, b.text)
	})
	return slices.CompactFunc(all, func(a, b logLine) bool { return a.text == b.text && slices.Equal(a.keys, b.keys) })
}

func logLineOf(t *testing.T, file string, call *ast.CallExpr) (l logLine, ok bool) {
	t.Helper()
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return l, false
	}
	receiver := ""
	switch x := method.X.(type) {
	case *ast.Ident:
		receiver = x.Name
	case *ast.SelectorExpr:
		receiver = x.Sel.Name
	}
	word, context := strings.CutSuffix(method.Sel.Name, "Context")
	l.level = strings.ToUpper(word)
	with := word == "With" && len(call.Args) > 0 && literal(call.Args[0]) != ""
	if len(call.Args) == 0 || !with && (!logReceiver.MatchString(receiver) || !slices.Contains(logLevels, l.level)) {
		return l, false
	}
	args := call.Args
	switch {
	case with: // lines that are logged by what it gives have these keys too
		args = append([]ast.Expr{nil}, args...)
	case context:
		args = args[1:]
		fallthrough
	default:
		if l.text = literal(args[0]); l.text == "" {
			return l, false // a warning that another package worded
		}
	}
	for i := 1; i < len(args); i += 2 {
		key := literal(args[i])
		if key == "" {
			t.Errorf("%s: the log line %q has a key that is not spelled out", file, l.text)
			continue
		}
		l.keys = append(l.keys, key)
	}
	return l, true
}

// literal is the text of a string, as far as it is spelled out.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return literal(e.X) + anything
	}
	return ""
}

func logLineTable(t *testing.T) string {
	out := newTable("Line", "Level", "Keys")
	for _, l := range logLines(t) {
		if l.text != "" {
			out.row("`"+l.text+"`", l.level, codeList(l.keys))
		}
	}
	return out.String()
}

func logKeyTable(t *testing.T) string {
	used := map[string]bool{"time": true, "level": true, "msg": true, telemetry.LogTraceID: true, telemetry.LogSpanID: true}
	for _, l := range logLines(t) {
		for _, key := range l.keys {
			if used[key] = true; logKeys[key] == "" {
				t.Errorf("logKeys does not say what %q means, which the line %q has", key, l.text)
			}
		}
	}
	out := newTable("Key", "Meaning")
	for _, key := range []string{"time", "level", "msg", telemetry.LogTraceID, telemetry.LogSpanID} {
		out.row("`"+key+"`", logKeys[key])
		delete(used, key)
	}
	var rest []string
	for key := range logKeys {
		if used[key] {
			rest = append(rest, key)
		} else if !slices.Contains([]string{"time", "level", "msg", telemetry.LogTraceID, telemetry.LogSpanID}, key) {
			t.Errorf("logKeys has %q, which no line has", key)
		}
	}
	slices.Sort(rest)
	for _, key := range rest {
		out.row("`"+key+"`", logKeys[key])
	}
	return out.String()
}
