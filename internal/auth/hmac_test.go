package auth

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// template reads `${NAME}`, without policy's checks.
func template(s string) (t policy.Template) {
	for s != "" {
		text, rest, found := strings.Cut(s, "${")
		if text != "" {
			t = append(t, policy.TemplatePart{Text: text})
		}
		name, after, _ := strings.Cut(rest, "}")
		if found {
			t = append(t, policy.TemplatePart{Name: name})
		}
		s = after
	}
	return t
}

func templates(set map[string]string) (all []policy.HeaderTemplate) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		all = append(all, policy.HeaderTemplate{Name: name, Value: template(set[name])})
	}
	return all
}

// TestHMACVectors are published examples.
func TestHMACVectors(t *testing.T) {
	const slack = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	const nothing = "what do ya want for nothing?"
	for _, tt := range []struct {
		name, key, body string
		scheme          policy.HMAC
		header          http.Header
		at              int64
		sent, want      string
	}{
		{
			name: "GitHub webhooks", key: "It's a Secret to Everybody", body: "Hello, World!",
			scheme: policy.HMAC{Text: template("${body}"), Headers: templates(map[string]string{"X-Hub-Signature-256": "sha256=${signature}"})},
			sent:   "X-Hub-Signature-256", want: "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
		}, {
			name: "Slack", key: "8f742231b10e8888abcd99yyyzzz85a5", body: slack, at: 1531420618,
			scheme: policy.HMAC{Text: template("v0:${timestamp}:${body}"), Headers: templates(map[string]string{"X-Slack-Signature": "v0=${signature}", "X-Slack-Request-Timestamp": "${timestamp}"})},
			sent:   "X-Slack-Signature", want: "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
		}, {
			name: "Standard Webhooks", key: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", body: `{"test": 2432232314}`, at: 1614265330,
			scheme: policy.HMAC{
				KeyEncoding: "base64", Encoding: "base64", Text: template("${header.webhook-id}.${timestamp}.${body}"),
				Headers: templates(map[string]string{"Webhook-Signature": "v1,${signature}", "Webhook-Timestamp": "${timestamp}"}),
			},
			header: http.Header{"Webhook-Id": {" msg_p5jXN8AQM9LWM0D4loKWxJek"}},
			sent:   "Webhook-Signature", want: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		}, {
			name: "RFC 4231 section 4.3, SHA-512", key: "4a656665", body: nothing,
			scheme: policy.HMAC{KeyEncoding: "hex", Hash: "sha512", Text: template("${body}"), Headers: templates(map[string]string{"X": "${signature}"})},
			sent:   "X", want: "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		}, {
			name: "RFC 2202 section 3, SHA-1", key: "Jefe", body: nothing,
			scheme: policy.HMAC{Hash: "sha1", Text: template("${body}"), Headers: templates(map[string]string{"X": "${signature}"})},
			sent:   "X", want: "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.scheme.Key = "env:KEY"
			keep := NewKeep(Config{Secrets: store(t, map[string]string{"KEY": tt.key}), Now: func() time.Time { return time.Unix(tt.at, 0) }})
			s := keep.Signer(&policy.Credential{Name: "bot", Scheme: &tt.scheme})
			o := outgoing(t, "POST", "https://a.example/hook", tt.header)
			o.Request.ContentLength = int64(len(tt.body))
			o.Body = func() io.ReadCloser { return io.NopCloser(strings.NewReader(tt.body)) }
			if err := s.Sign(t.Context(), o); err != nil || !s.Needs().Body {
				t.Fatalf("%v; needs %+v", err, s.Needs())
			}
			if got := o.Request.Header[tt.sent]; !slices.Equal(got, []string{tt.want}) {
				t.Errorf("%s: got %q, want %s", tt.sent, got, tt.want)
			}
			if !slices.Equal(o.Headers, []string{tt.sent}) || len(o.Revealed) != 1 || !strings.HasSuffix(tt.want, revealed(o)[0]) {
				t.Errorf("headers %q, revealed %q; want the signature alone", o.Headers, revealed(o))
			}
		})
	}
}

// TestHMACParts: what each name stands for.
func TestHMACParts(t *testing.T) {
	parts := map[string]string{
		"method": "PUT", "scheme": "https", "host": "a.example:8443", "path": "//p%20q/", "query": "b=2&a=%7e",
		"timestamp": "1000000000", "key_id": "k7", "nonce": "0123", "header.content-type": "text/plain", "header.X-Two": "a, b",
		"header.none": "", "header.host": "a.example:8443", "header.content-length": "3",
		"body_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "body_md5": "900150983cd24fb0d6963f7d28e17f72",
	}
	set := map[string]string{"X-Sig": "${signature}"}
	for name := range parts {
		set["X-Is-"+strings.ReplaceAll(name, ".", "-")] = "${" + name + "}"
	}
	scheme := &policy.HMAC{Key: "env:KEY", KeyID: "k7", Text: template("${method}\n${path}\n${timestamp}\n${body_sha256}"), Headers: templates(set)}
	clock := time.Unix(1e9, 0)
	k := NewKeep(Config{Secrets: store(t, map[string]string{"KEY": "k"}), Now: func() time.Time { return clock }}).Signer(&policy.Credential{Name: "bot", Scheme: scheme}).(*keyed)
	k.nonce = func() string { return "0123" }
	o := outgoing(t, "PUT", "https://a.example:8443//p%20q/?b=2&a=%7e", http.Header{"Content-Type": {"text/plain"}, "X-Two": {"a", "b"}, "X-Sig": {"mine"}})
	o.Request.ContentLength = 3
	o.Body = func() io.ReadCloser { return io.NopCloser(strings.NewReader("abc")) }
	o.Request.URL.Host = "10.0.0.1" // Host is what is sent, whoever is dialled
	if err := k.Sign(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for name, want := range parts {
		if got := o.Request.Header["X-Is-"+strings.ReplaceAll(name, ".", "-")]; !slices.Equal(got, []string{want}) {
			t.Errorf("${%s}: got %q, want %q", name, got, want)
		}
	}
	for format, want := range map[string]string{
		"unix": "1000000000", "unix_ms": "1000000000000", "rfc3339": "2001-09-09T01:46:40Z", "http": "Sun, 09 Sep 2001 01:46:40 GMT",
	} {
		scheme.Timestamp = format
		if got := k.time(clock.In(time.FixedZone("CEST", 7200))); got != want {
			t.Errorf("%s: got %s, want %s", format, got, want)
		}
	}
	if !k.Needs().Body || newKeyed(k.source, &policy.HMAC{Text: template("${method}")}).Needs().Body {
		t.Error("the body is needed where it is used, and only there")
	}
	streamed := outgoing(t, "PUT", "https://a.example/", nil)
	streamed.Request.ContentLength = -1
	bodiless := &policy.HMAC{Key: "env:KEY", Text: template("${method}"), Headers: templates(map[string]string{"X-Sig": "${signature}"})}
	if err := newKeyed(k.source, bodiless).Sign(t.Context(), streamed); err != nil {
		t.Errorf("a body that is not signed need not be there: %v", err)
	}
	if a, b := newNonce(), newNonce(); a == b || len(a) != 32 {
		t.Errorf("nonces %s and %s", a, b)
	}
}

func TestHMACFails(t *testing.T) {
	sig := templates(map[string]string{"X-Sig": "${signature}"})
	for want, scheme := range map[string]*policy.HMAC{
		"not written in hex":      {Key: "env:KEY", KeyEncoding: "hex", Text: template("${method}"), Headers: sig},
		"not written in base64":   {Key: "env:KEY", KeyEncoding: "base64", Text: template("${method}"), Headers: sig},
		"${other} in the text":    {Key: "env:KEY", Text: template("${other}"), Headers: sig},
		"${body} in its X header": {Key: "env:KEY", Text: template("x"), Headers: templates(map[string]string{"X": "${body}", "Y": "${signature}"})},
		"log of fetchsvc":         {Key: "env:NONE", Text: template("x"), Headers: sig},
		"control character":       {Key: "env:KEY", Text: template("x"), Headers: templates(map[string]string{"X": "a\n${signature}"})},
	} {
		refused(t, scheme, map[string]string{"KEY": "k!ey-canary"}, want)
	}
	o := outgoing(t, "POST", "https://a.example/", nil)
	o.Request.ContentLength = 3
	for _, name := range []string{"body", "body_md5"} {
		s := signer("bot", &policy.HMAC{Key: "env:K", Text: template("${" + name + "}"), Headers: sig}, store(t, map[string]string{"K": "k"}))
		if err := s.Sign(t.Context(), o); err == nil || len(o.Request.Header) > 0 {
			t.Errorf("%s: a body that is not there was signed: %v %v", name, err, o.Request.Header)
		}
	}
}
