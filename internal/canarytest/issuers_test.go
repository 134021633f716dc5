package canarytest

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// issuer is a token endpoint, and an STS. What it issues are canaries, and what it
// refuses it explains with all that it was sent.
type issuer struct {
	birds  *aviary
	issued atomic.Int64
}

// mint makes a token.
func (i *issuer) mint(kind string) string {
	return i.birds.hatch(fmt.Sprintf("%s-%d", kind, i.issued.Add(1)))
}

// ServeHTTP answers as the path asks for: /token and /sts well, others badly.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text := asked(r)
	say := func(status int, contentType, body string) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Debug", strings.ReplaceAll(text, "\n", " "))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	switch r.URL.Path {
	case "/token":
		say(200, "application/json", fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600,"refresh_token":%q}`, i.mint("access"), i.mint("refresh")))
	case "/sts":
		say(200, "text/xml", fmt.Sprintf(`<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			html.EscapeString(i.mint("sts-id")), html.EscapeString(i.mint("sts-key")), html.EscapeString(i.mint("sts-session")), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	case "/description":
		say(401, "application/json", `{"error":"invalid_client","error_description":`+jsonText(text, true)+`,"error_uri":"https://x/?`+url.QueryEscape(text)+`"}`)
	case "/described-only":
		say(400, "application/json", fmt.Sprintf(`{"error":%q}`, text))
	case "/odd-token":
		say(200, "application/json", fmt.Sprintf(`{"access_token":"a b","token_type":%q,"expires_in":%q}`, text, text))
	case "/html":
		say(500, "text/html", "<h1>Error</h1><pre>"+html.EscapeString(text))
	case "/coding":
		w.Header().Set("Content-Encoding", text)
		say(400, "application/json", text)
	case "/redirect":
		w.Header().Set("Location", "/elsewhere?"+url.QueryEscape(text))
		say(302, "text/plain", text)
	case "/redirect-badly":
		w.Header().Set("Location", "gopher://%zz"+text)
		say(307, "text/plain", text)
	case "/sts-error":
		say(403, "text/xml", "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>"+html.EscapeString(text)+"</Message></Error></ErrorResponse>")
	default:
		say(404, "text/plain", text)
	}
}

// asked is all of r on one line.
func asked(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	parts := []string{r.RequestURI, string(body)}
	if plain, err := url.QueryUnescape(string(body)); err == nil {
		parts = append(parts, plain)
	}
	if user, password, ok := r.BasicAuth(); ok {
		plain, _ := url.QueryUnescape(password)
		parts = append(parts, user, password, plain)
	}
	for name, values := range r.Header {
		parts = append(parts, name+": "+strings.Join(values, ", "))
	}
	return strings.Join(parts, " | ")
}

// rude is a server that answers whatever it is asked with no HTTP but what it got,
// as far as an error would quote it.
func rude(c *testpeer.RawConn) {
	r := c.ReadRequest()
	text := received(r) + " | " + string(r.Body.Data)
	at := max(strings.Index(text, "cnry-"), 0)
	switch c.Index() % 3 {
	case 0:
		c.Write("HTTP/1.1 2" + text[at:] + "\r\n\r\n")
	case 1:
		c.Write("HTTP/1.1 200 OK\r\n" + text[at:] + "\r\n\r\n")
	default:
		c.Write("HTTP/1.1 200 OK\r\nContent-Length: " + text[at:] + "\r\n\r\n")
	}
	c.Linger()
}
