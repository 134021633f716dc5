package docs_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const roleAnswer = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAROLE0EXAMPLE</AccessKeyId><SecretAccessKey>the-key-of-the-role</SecretAccessKey>
<SessionToken>the-session-token-of-the-role</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>`

func awsCases() []credentialCase {
	return []credentialCase{
		{
			heading: "Amazon S3",
			values:  map[string]string{"env:AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "env:AWS_SECRET_ACCESS_KEY": "the-key-of-the-user"},
			calls: []string{
				get("https://reports.s3.eu-central-1.amazonaws.com/2026/a%20b?list-type=2&prefix=x%2Fy"),
				`{"method":"PUT","url":"https://reports.s3.eu-central-1.amazonaws.com/c","text":"the body"}`,
			},
			look: func(r *credentialRun) {
				for _, a := range r.net.to("reports.s3.eu-central-1.amazonaws.com") {
					r.signedByAWS(a, "AKIAIOSFODNN7EXAMPLE", "the-key-of-the-user", "eu-central-1", "s3")
				}
			},
		},
		{
			heading: "AWS with a role",
			values:  map[string]string{"env:ORDERS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "file:secrets/orders": "the-key-of-the-user"},
			answers: map[string]http.HandlerFunc{"sts.eu-central-1.amazonaws.com": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprintf(w, roleAnswer, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
			}},
			calls: []string{get("https://abc123.execute-api.eu-central-1.amazonaws.com/orders"), get("https://abc123.execute-api.eu-central-1.amazonaws.com/orders")},
			look: func(r *credentialRun) {
				asked := r.net.to("sts.eu-central-1.amazonaws.com")
				if len(asked) != 1 {
					r.Fatalf("STS was asked %d times, want once", len(asked))
				}
				r.signedByAWS(asked[0], "AKIAIOSFODNN7EXAMPLE", "the-key-of-the-user", "eu-central-1", "sts")
				form := asked[0].form()
				if form.Get("Action") != "AssumeRole" || form.Get("RoleArn") != "arn:aws:iam::123456789012:role/orders-reader" || form.Get("ExternalId") != "fetchsvc" {
					r.Errorf("STS got %v", form)
				}
				const host = "abc123.execute-api.eu-central-1.amazonaws.com"
				for _, a := range r.net.to(host) {
					r.signedByAWS(a, "ASIAROLE0EXAMPLE", "the-key-of-the-role", "eu-central-1", "execute-api")
				}
				r.carries(host, "X-Amz-Security-Token", "the-session-token-of-the-role", "the-session-token-of-the-role")
			},
		},
	}
}

// signedByAWS checks a request as AWS does, by the description of Signature
// Version 4, for paths that have nothing to be coded twice.
func (r *credentialRun) signedByAWS(a arrival, keyID, key, region, service string) {
	r.Helper()
	date := a.Header.Get("X-Amz-Date")
	got := a.Header.Get("Authorization")
	_, rest, _ := strings.Cut(got, "SignedHeaders=")
	signed, _, _ := strings.Cut(rest, ",")
	names := strings.Split(signed, ";")
	if len(date) < 8 || !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") {
		r.Errorf("%s is not signed: %q, dated %q", a.Host, got, date)
		return
	}
	hexSum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	var headers strings.Builder
	for _, name := range names {
		value := a.Header.Get(name)
		switch name {
		case "host":
			value = a.Host
		case "content-length":
			value = fmt.Sprint(a.ContentLength)
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	params := strings.Split(a.URL.RawQuery, "&")
	slices.Sort(params)
	request := strings.Join([]string{a.Method, a.URL.EscapedPath(), strings.Join(params, "&"), headers.String(), signed, hexSum(a.body)}, "\n")
	scope := strings.Join([]string{date[:8], region, service, "aws4_request"}, "/")
	derived := []byte("AWS4" + key)
	for part := range strings.SplitSeq(scope, "/") {
		derived = mac(derived, part)
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256", date, scope, hexSum([]byte(request))}, "\n")
	want := fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", keyID, scope, signed, mac(derived, text))
	if strings.ReplaceAll(got, ",S", ", S") != want {
		r.Errorf("%s got\n%s, want\n%s", a.Host, got, want)
	}
}
