package canarytest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// driver asks the service.
type driver struct {
	*world
	child *child
}

// web is who calls the REST door. Each call has a connection of its own: a stream
// that fails breaks it.
var web = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// fields are a request's, as the REST door takes them.
type fields map[string]any

// with adds to fields.
func (f fields) with(more fields) fields {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// fetch makes a call by the REST door, and keeps all that comes.
func (d *driver) fetch(what string, in fields, proof string) []byte {
	text, err := json.Marshal(in)
	if err != nil {
		d.t.Error(err)
	}
	return d.send("fetch "+what, http.MethodPost, "/v1/fetch", string(text), proof)
}

// stream does so for a stream.
func (d *driver) stream(what string, in fields, proof string) []byte {
	text, err := json.Marshal(fields{"start": in})
	if err != nil {
		d.t.Error(err)
	}
	return d.send("stream "+what, http.MethodPost, "/v1/stream", string(text), proof)
}

// send gives the answer's body. What begins with a dash is not kept as evidence.
func (d *driver) send(what, method, path, body, proof string, headers ...string) []byte {
	req, err := http.NewRequest(method, d.child.rest+path, strings.NewReader(body))
	if err != nil {
		d.t.Error(err)
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+proof)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := web.Do(req)
	if err != nil {
		d.t.Errorf("%s: %v", what, err)
		return nil
	}
	defer res.Body.Close()
	var out bytes.Buffer
	_ = res.Header.Write(&out)
	n := out.Len()
	_, _ = io.Copy(&out, res.Body) // a stream that fails breaks off
	if !strings.HasPrefix(what, "-") {
		d.said.give(what, out.Bytes())
	}
	return out.Bytes()[n:]
}

// together runs f for each of names, a few at a time.
func together(names []string, f func(name string)) {
	var wg sync.WaitGroup
	seats := make(chan struct{}, 8)
	for _, name := range names {
		wg.Go(func() {
			seats <- struct{}{}
			defer func() { <-seats }()
			f(name)
		})
	}
	wg.Wait()
}

// proof is who calls an upstream.
func (d *driver) proof(name string) string {
	if name == "on-behalf" {
		return d.jwt
	}
	return d.apiKey
}

// echoing are the upstreams with a credential that can be had and is looked for.
func (d *driver) echoing() []string {
	var all []string
	for name := range d.echoes {
		if name != "off" && name != "own" && !slices.Contains(d.broken, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// thorough are the credentials whose secrets look different from each other in a
// request: they are echoed in every way, the others in a few.
var thorough = []string{"bearer", "basic", "username", "query-key", "cookie-key", "odd-header-key", "aws", "digest", "oauth-basic", "pool", "strict", "proxied"}

var few = []string{"body", "header", "location", "challenge", "base64-json", "no-colon"}

// ways are those to echo what the upstream of a name got.
func ways(name string) []string {
	if !slices.Contains(thorough, name) {
		return few
	}
	var all []string
	for _, m := range []map[string]answer{inBodies, inHeads, inFaults} {
		all = slices.AppendSeq(all, maps.Keys(m))
	}
	slices.Sort(all)
	return all
}

// once is a call that is not tried again.
func (d *driver) once(name, way string) fields {
	in := fields{"url": d.urls[name] + "/" + way, "retry": fields{"max_attempts": 1}, "max_response_bytes": 6 << 10}
	if way == "silent" {
		in["timeouts"] = fields{"first_byte": "0.3s"}
	}
	return in
}

// everyWay has each credential's upstream echo what it got.
func (d *driver) everyWay() {
	together(d.echoing(), func(name string) {
		proof := d.proof(name)
		for _, way := range ways(name) {
			what, in := name+" "+way, d.once(name, way)
			d.fetch(what, in, proof)
			if way == "utf-16" || way == "json" || way == "binary" {
				d.fetch(what+" as text", in.with(fields{"as": "TEXT"}), proof)
			}
			switch way {
			case "error", "challenge", "refused":
				d.fetch(what+", to fail", in.with(fields{"fail_on_status": true}), proof)
			case "body", "reset", "no-status":
				d.fetch(what+", again", in.with(fields{"retry": fields{"max_attempts": 3, "backoff": fields{"base": "0.001s"}}}), proof)
			case "sse":
				in["framing"] = "SSE"
			case "lines":
				in["framing"] = "LINES"
			}
			d.stream(what, in.with(fields{"max_response_bytes": 0}), proof)
		}
	})
}

// resent has net/http send a request again by itself: the connection that it was to
// use had been closed.
func (d *driver) resent() {
	for n := range 3 {
		said := d.fetch("stale", fields{"url": d.urls["stale"] + "/"}, d.apiKey)
		if n > 0 && !bytes.Contains(said, []byte("RESEND")) {
			d.t.Errorf("got %s, want an attempt by RESEND", said)
		}
	}
}

// cutShort has answers cut off at every few bytes, so that a secret is too.
func (d *driver) cutShort() {
	together([]string{"bearer", "basic", "query-key"}, func(name string) {
		for most := 40; most < 420; most += 5 {
			in := d.once(name, "body").with(fields{"max_response_bytes": most, "allow_truncated": true})
			d.fetch(name+" cut", in, d.apiKey)
			d.fetch(name+" gzip cut", in.with(fields{"url": d.urls[name] + "/gzip"}), d.apiKey)
			d.stream(name+" cut", in, d.apiKey)
		}
	})
}

// brokenCredentials asks for what cannot be had.
func (d *driver) brokenCredentials() {
	together(d.broken, func(name string) {
		for range 2 {
			said := d.fetch(name, d.once(name, "body"), d.apiKey)
			if !bytes.Contains(said, []byte("CREDENTIAL_UNAVAILABLE")) {
				d.t.Errorf("%s: got %s, want CREDENTIAL_UNAVAILABLE", name, said)
			}
		}
	})
}

// ownProofs are a caller's own secrets, which the log has no more than ours.
func (d *driver) ownProofs() {
	own := func(name string) string {
		v := d.birds.hatch("own-" + name)
		d.birds.letOut("own-" + name)
		return v
	}
	header := func(name, value string) fields { return fields{"name": name, "value": value} }
	mine := fields{"headers": []fields{header("Authorization", "Bearer "+own("auth")), header("Cookie", "session="+own("cookie")), header("X-Api-Key", own("key"))},
		"params": []fields{header("access_token", own("param"))}, "method": "POST", "text": own("body")}
	for _, way := range []string{"ok", "body", "header", "cookie", "no-status", "status", "no-colon", "name", "length", "transfer", "coding", "cut", "reason", "reset", "large", "large-head", "error", "nowhere"} {
		for _, name := range []string{"own", "bearer", "kept", "denied"} {
			d.fetch("own "+name+" "+way, d.once(name, way).with(mine), d.apiKey)
			d.stream("own "+name+" "+way, d.once(name, way).with(mine), d.jwt)
		}
	}
	url := d.urls["own"] + "/ok"
	d.fetch("own crumb", d.once("own", "body").with(fields{"cookies": []fields{header("id", own("crumb"))}}), d.apiKey)
	bad := func(what string, in fields) { d.fetch("own bad "+what, fields{"url": url}.with(in), d.apiKey) }
	bad("header", fields{"headers": []fields{header("Authorization", "Bearer "+own("line")+"\nX: y")}})
	bad("header name", fields{"headers": []fields{header("Authorization: "+own("name"), "a")}})
	bad("cookie name", fields{"cookies": []fields{header("a="+own("named")+";", "b")}})
	bad("cookie", fields{"cookies": []fields{header("a", own("crumbs")+";\n")}})
	bad("userinfo", fields{"url": strings.Replace(url, "://", "://us:"+strings.ReplaceAll(own("userinfo"), "?", "")+"@", 1)})
	bad("field", fields{"authorization": own("field")})
	bad("kind of value", fields{"headers": own("kind")})
	bad("proxy", fields{"proxy": "http://us:" + own("proxy") + "@" + d.forward.Addr})
	bad("proxy scheme", fields{"proxy": "gopher://us:" + own("proxy-scheme") + "@" + d.forward.Addr})
	bad("key", fields{"client_cert": fields{"cert_pem": "no", "key_pem": own("pem")}})
	for name, port := range map[string]string{"refused": "refused", "garbage": "garbage"} {
		bad(name, mine.with(fields{"url": d.urls[port] + "/"}))
	}
	d.fetch("a stranger", fields{"url": url}, own("stranger"))
	d.fetch("a forged token", fields{"url": url}, strings.TrimSuffix(d.jwt, d.jwt[len(d.jwt)-12:])+"AAAAAAAAAAAA")
	d.send("two proofs", http.MethodPost, "/v1/fetch", `{"url":"`+url+`"}`, own("second"), "Fetchsvc-Authorization", "Bearer "+own("first"))
	d.send("no bearer", http.MethodPost, "/v1/fetch", `{"url":"`+url+`"}`, "", "Authorization", "Basic "+own("basic"))
	d.send("torn JSON", http.MethodPost, "/v1/fetch", `{"url":"`+url+`","headers":[{"name":"Authorization","value":"`+own("torn"), d.apiKey)
	d.send("torn stream", http.MethodPost, "/v1/stream", `{"start":{"url":"`+url+`","headers":[{"name":"Authorization","value":"`+own("torn-stream"), d.apiKey)
}

// operate looks at what the service tells of itself.
func (d *driver) operate() {
	for _, path := range []string{"/openapi.json", "/docs", "/healthz", "/readyz", "/metrics", "/v1/upstreams", "/v1/policy:snapshot"} {
		d.send("GET "+path, http.MethodGet, path, "", d.apiKey)
	}
	together(slices.Concat(d.echoing(), d.broken), func(name string) {
		for _, way := range []string{"ok", "body?key=a"} {
			text, _ := json.Marshal(fields{"request": fields{"url": d.urls[name] + "/" + way, "credential": name}, "resolve": true})
			d.send("explain "+name, http.MethodPost, "/v1/policy:explain", string(text), d.apiKey)
		}
	})
	var requests []fields
	for _, name := range d.echoing() {
		for _, way := range []string{"header", "json", "no-status"} {
			requests = append(requests, d.once(name, way))
		}
	}
	text, _ := json.Marshal(fields{"requests": requests})
	d.send("batch", http.MethodPost, "/v1/fetch:batch", string(text), d.apiKey)
}
