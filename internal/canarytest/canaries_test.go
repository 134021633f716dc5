package canarytest

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestCanaries: the service and its command line show no secret to anyone.
func TestCanaries(t *testing.T) {
	w := newWorld(t)
	file, audit := w.policy(), filepath.Join(w.dir, "audit.jsonl")
	sink := (&collector{said: w.said}).byGRPC(t)
	env := slices.Concat(w.env, sink.environment("grpc"), []string{"OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_HEADERS=x-collector-key=" + url.PathEscape(w.birds.hatch("collector"))})
	c := serve(t, env, "--policy", file, "--audit", audit, "--audit-chain")
	d := &driver{world: w, child: c}
	d.everyWay()
	d.resent()
	d.cutShort()
	d.brokenCredentials()
	d.ownProofs()
	d.traced()
	d.signed()
	d.operate()
	d.scraped()
	d.byGRPC()
	d.commandLine(file, audit)
	d.pasted(file)
	planted := d.control()
	c.stop(syscall.SIGTERM)
	w.collect(c, "service", audit)
	w.sent(sink, planted)
	if text, _ := c.stderr.look(); !bytes.Contains(text, []byte(`"level":"DEBUG"`)) {
		t.Error("the log has no line of level debug")
	}
	if text, _ := os.ReadFile(audit); len(newSearcher(planted.list()).search(text)) == 0 {
		t.Error("the audit log has a canary in its paths, and the search did not find it")
	}
	d.dump(env, file)
	d.reached()
	if n := len(w.said.returned); n < 1000 {
		t.Errorf("only %d kinds of calls were made", n)
	}
	w.said.acquit(t, w.birds)
}

// collect takes what a service has written.
func (w *world) collect(c *child, name, audit string) {
	stdout, _ := c.stdout.look()
	stderr, _ := c.stderr.look()
	w.said.emit(name+" stdout", stdout)
	w.said.emit(name+" stderr", stderr)
	if audit == "" {
		return
	}
	text, err := os.ReadFile(audit)
	if err != nil {
		w.t.Fatal(err)
	}
	w.said.emit("audit", text)
}

// control calls an upstream whose answers are not scrubbed, and gives what it has
// put into a log line.
func (d *driver) control() *aviary {
	s := newSearcher(d.birds.list())
	for _, way := range []string{"body", "header", "base64", "json-units", "gzip"} {
		if len(s.search(d.send("- off "+way, "POST", "/v1/fetch", `{"url":"`+d.urls["off"]+"/"+way+`"}`, d.apiKey))) == 0 {
			d.t.Errorf("%s: scrub is off, and the search did not find the token in what came back", way)
		}
	}
	planted := newAviary()
	planted.add("path", "", strings.ReplaceAll(core(), "?", "~"), "")
	d.fetch("a path", fields{"url": d.urls["own"] + "/" + planted.list()["path"].core}, d.apiKey)
	return planted
}

// dump ends a service by SIGQUIT in the midst of calls.
func (d *driver) dump(env []string, file string) {
	c := serve(d.t, env, "--policy", file)
	busy := &driver{world: d.world, child: c}
	names := []string{"bearer", "basic", "query-key", "aws", "oauth-basic", "hmac"}
	before := map[string]int{}
	for _, name := range names {
		before[name] = len(d.servers[name].Requests())
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		together(names, func(name string) {
			busy.interrupted(name)
		})
	}()
	for _, name := range names {
		d.servers[name].AwaitRequests(before[name] + 1)
	}
	c.stop(syscall.SIGQUIT)
	<-asked
	d.collect(c, "dump", "")
	if text, _ := c.stderr.look(); !strings.Contains(string(text), "goroutine 1 ") {
		d.t.Error("there is no dump")
	}
}

// interrupted makes a call that the service does not live to answer.
func (d *driver) interrupted(name string) {
	req, err := http.NewRequest(http.MethodPost, d.child.rest+"/v1/fetch", strings.NewReader(`{"url":"`+d.urls[name]+`/silent"}`))
	if err != nil {
		d.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+d.apiKey)
	if res, err := web.Do(req); err == nil {
		_ = res.Body.Close()
		d.t.Errorf("%s: got %s from a service that was to end", name, res.Status)
	}
}

// reached says that the secrets were where they belong: a search of calls that
// carried none would find nothing either.
func (d *driver) reached() {
	all := d.birds.list()
	for _, name := range []string{"bearer", "filed", "vaulted", "basic", "username", "header-key", "odd-header-key", "query-key", "cookie-key", "aws-session", "off", "strict", "proxied"} {
		if at := strings.TrimSuffix(name, "-session"); !d.echoes[at].got(all[name].core) {
			d.t.Errorf("upstream %s never got its secret", at)
		}
	}
	for _, name := range []string{"oauth-basic", "oauth-post", "oauth-jwt", "oauth-mtls", "refresh", "assertion", "exchange", "on-behalf", "google"} {
		if !d.echoes[name].got("cnry-access-") {
			d.t.Errorf("upstream %s never got a token", name)
		}
	}
	if !d.echoes["role"].got("cnry-sts-session-") {
		d.t.Error("upstream role never got the role's session token")
	}
	for _, name := range []string{"auth", "cookie", "key", "param", "body", "crumb"} {
		if !d.echoes["own"].got(all["own-"+name].core) {
			d.t.Errorf("the caller's own %s never got through", name)
		}
	}
	if asked := d.forward.Asked(); len(asked) == 0 || asked[0].Authorization == "" {
		d.t.Error("the proxy never got its password")
	}
	if hits := newSearcher(all).search([]byte(strings.Join(d.away.all(), "\n"))); len(hits) > 0 {
		d.t.Errorf("the host that redirects led to got %v", hits)
	}
}
