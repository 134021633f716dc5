package canarytest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// byGRPC makes the calls whose failures gRPC puts into a status of its own.
func (d *driver) byGRPC() {
	conn, err := grpc.NewClient(d.child.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	api := fetchsvcv1.NewFetchServiceClient(conn)
	together([]string{"bearer", "basic", "query-key", "strict"}, func(name string) {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+d.proof(name)), patience)
		defer cancel()
		for _, way := range ways(name) {
			if way == "silent" {
				continue
			}
			in := &fetchsvcv1.FetchRequest{Url: d.urls[name] + "/" + way, FailOnStatus: true}
			res, err := api.Fetch(ctx, in)
			d.keep("grpc fetch "+name+" "+way, res, err)
			calls, err := api.Stream(ctx)
			if err == nil {
				err = calls.Send(&fetchsvcv1.StreamRequest{Message: &fetchsvcv1.StreamRequest_Start{Start: in}})
			}
			if err == nil {
				err = calls.CloseSend()
			}
			for err == nil {
				var part *fetchsvcv1.StreamResponse
				part, err = calls.Recv()
				d.keep("grpc stream "+name+" "+way, part, err)
			}
		}
	})
}

// keep takes a message or a status as it was on the wire.
func (d *driver) keep(what string, m proto.Message, err error) {
	if err != nil {
		d.said.give(what, []byte(err.Error()))
		m = status.Convert(err).Proto()
	}
	text, err := proto.Marshal(m)
	if err != nil {
		d.t.Error(err)
	}
	d.said.give(what, text)
}

// commandLine runs the commands that ask the service, and those that read its files.
func (d *driver) commandLine(policy, audit string) {
	env := append([]string{"FETCHSVC_SERVER=" + d.child.grpc, "FETCHSVC_TOKEN=" + d.apiKey}, d.env...)
	do := func(name string, args ...string) {
		out, errs := run(d.t, env, "", args...)
		d.said.give("command "+name, out)
		d.said.emit("command "+name, errs)
	}
	for name, way := range map[string]string{"bearer": "header", "basic": "location", "query-key": "no-colon", "oauth-basic": "error", "digest": "challenge", "template": "body", "no-html-basic": "body"} {
		url := d.urls[name] + "/" + way
		do(name, "fetch", "-v", "-i", url)
		do(name+" stream", "fetch", "-v", "--stream", "--no-progress", url)
		do(name+" print-json", "fetch", "--print-json", "-f", url)
		do(name+" explain", "explain", "-v", "--json", "GET", url)
		do(name+" explain by file", "explain", "-v", "--policy", policy, "GET", url)
	}
	own := d.birds.hatch("own-flag")
	d.birds.letOut("own-flag")
	do("own", "fetch", "-v", "-H", "Authorization: Bearer "+own, "-b", "a="+own, d.urls["own"]+"/ok")
	var lines strings.Builder
	for _, name := range d.echoing() {
		text, _ := json.Marshal(d.once(name, "json-plain"))
		fmt.Fprintf(&lines, "%s\n", text)
	}
	do("batch", "batch", d.file("batch.jsonl", lines.String()))
	do("check", "check", policy)
	do("check json", "check", "--json", "--against", policy, "--requests", d.file("requests", "GET "+d.urls["bearer"]+"/body machine\n"), policy)
	do("policy", "policy")
	do("audit", "audit", "verify", audit)
}

// pasted has the secrets themselves where references belong, in files to check and
// in one that the running service is to reload.
func (d *driver) pasted(file string) {
	const bearer = "credentials:\n  - name: a\n    bind: [https://a.example]\n    bearer: {token: %s}\nupstreams:\n  - {name: a, hosts: [a.example], credential: a}\n"
	for name, form := range map[string]string{
		"plain": "'{}'", "reference": "{secret: '{}'}", "env": "{secret: 'env:{}'}", "vault": "{secret: 'vault:a#{}'}", "colon": "{secret: 'gh:{}'}",
		"key": "{'{}': a}", "number": "{secret: [1, '{}']}", "lines": "|\n      {}\n      second", "anchor": "&a '{}'", "quoted": "{secret: \"{}", "twice": "{secret: '{}', secret: '{}'}",
	} {
		text := fmt.Sprintf(bearer, strings.ReplaceAll(form, "{}", d.birds.hatch("pasted-"+name)))
		d.checkPasted(name, text)
	}
	more := map[string]string{
		"proxy":    "defaults: {proxy: {url: 'http://us:{}@proxy.example:3128'}}\n",
		"password": "defaults: {proxy: {url: 'http://proxy.example:3128', username: us, password: '{}'}}\n",
		"api-key":  "callers:\n  - {name: a, api_key: '{}'}\n",
		"key-ref":  "callers:\n  - {name: a, api_key: {secret: env:CANARY_BEARER}}\n",
		"key":      "defaults: {tls: {client_certificate: {cert_file: a.pem, key: '{}'}}}\n",
		"unknown":  "defaults: {password: '{}'}\n",
		"vault":    "secrets: {vaults: [{name: v, address: 'https://us:{}@v.example', token: '{}'}]}\n",
		"secret":   "credentials:\n  - {name: a, bind: [https://a.example], oauth2: {token_url: 'https://us:{}@idp.example', client_id: a, client_secret: '{}'}}\n",
	}
	for name, text := range more {
		d.checkPasted("pasted as "+name, strings.ReplaceAll(text, "{}", d.birds.hatch("pasted-as-"+name)))
	}
	good, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	bad := strings.Replace(string(good), "bearer: {token: {secret: env:CANARY_BEARER}}", "bearer: {token: '"+d.birds.hatch("reloaded")+"'}", 1)
	d.file("policy.yaml", bad)
	if err := d.child.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
	d.child.await(`"msg":"[^"]*policy[^"]*"[^\n]*token`)
	d.send("rejected", "GET", "/v1/policy:snapshot", "", d.apiKey)
	d.file("policy.yaml", string(good))
}

func (d *driver) checkPasted(name, text string) {
	path := d.file("pasted.yaml", text)
	for _, args := range [][]string{{"check", path}, {"check", "--json", path}, {"serve", "--policy", path, "--grpc=127.0.0.1:0", "--rest=127.0.0.1:0"}} {
		out, errs := run(d.t, d.env, "", args...)
		d.said.emit("pasted "+name+", "+args[0], append(out, errs...))
	}
}
