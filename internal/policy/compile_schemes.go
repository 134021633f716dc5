package policy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

func (c *compiler) basic(path string, in *policyv1.Basic) *Basic {
	out := &Basic{
		Username:       in.GetUsername(),
		SecretUsername: c.secretIfAny(path+".secret_username.secret", in.GetSecretUsername()),
		Password:       c.secretIfAny(path+".password.secret", in.GetPassword()),
	}
	switch {
	case out.Username != "" && in.GetSecretUsername() != nil:
		c.failf(path+".secret_username", "there is a `username` too: keep one of the two")
	case strings.Contains(out.Username, ":"):
		c.failf(path+".username", "a user name has no colon (RFC 7617): give what stands behind it as `password: {secret: env:NAME}`")
	case out.Username == "" && in.GetSecretUsername() == nil && in.GetPassword() == nil:
		c.failf(path, "it has nothing to send: give a username, a secret_username or a password")
	}
	c.plainText(path+".username", out.Username)
	return out
}

func (c *compiler) apiKey(path string, in *policyv1.ApiKey) *APIKey {
	out := &APIKey{
		Query: in.GetQuery(), Cookie: in.GetCookie(), Prefix: in.GetPrefix(),
		Key: c.secret(path+".key.secret", in.GetKey(), c.opts.CheckSecret),
	}
	var places []string
	for _, place := range []struct{ key, value string }{{"header", in.GetHeader()}, {"query", out.Query}, {"cookie", out.Cookie}} {
		if place.value != "" {
			places = append(places, place.key)
		}
	}
	switch {
	case len(places) == 0:
		c.failf(path, "it does not say where the key goes: give one of header, query and cookie")
	case len(places) > 1:
		c.failf(path+"."+places[1], "there is a `%s` too: a key goes to one place, so leave one out, or make two credentials", places[0])
	}
	if name := in.GetHeader(); name != "" {
		out.Header = c.ownHeader(path+".header", name)
		if out.Header == "Cookie" {
			c.failf(path+".header", "a cookie has a name: write `cookie: NAME` instead")
		}
	}
	if out.Query != "" && strings.Trim(out.Query, queryName) != "" {
		c.failf(path+".query", "it is no parameter's name: use letters, digits and %s", queryName[len(wordLetters)-1:])
	}
	if out.Cookie != "" && !httpguts.ValidHeaderFieldName(out.Cookie) { // a token too (RFC 6265 section 4.1.1)
		c.failf(path+".cookie", "it is no cookie's name: use letters, digits and !#$%%&'*+-.^_`|~")
	}
	switch {
	case out.Prefix != "" && in.GetHeader() == "":
		c.failf(path+".prefix", "a prefix stands before a key in a header: leave it out")
	case !httpguts.ValidHeaderFieldValue(out.Prefix):
		c.failf(path+".prefix", "it has a control character: take it out")
	case strings.TrimLeft(out.Prefix, " \t") != out.Prefix:
		c.failf(path+".prefix", "a blank at the beginning of a header is lost on the way: take it out")
	}
	return out
}

// queryName are the letters of a query parameter's name that mean the same to all
// who read it.
const queryName = wordLetters + "-.~[]$:@!*"

func (c *compiler) headers(path string, in *policyv1.HeaderTemplate) *Headers {
	out := &Headers{Secrets: map[string]SecretRef{}}
	var names []string
	for i, s := range in.GetSecrets() {
		at := fmt.Sprintf("%s.secrets[%d]", path, i)
		if slices.Contains(names, s.GetName()) {
			c.failf(at+".name", "secret %q is defined twice", s.GetName())
		}
		names = append(names, s.GetName())
		out.Secrets[s.GetName()] = c.reference(at+".secret", s.GetSecret(), c.opts.CheckSecret)
	}
	out.Set = c.headerTemplates(path+".set", in.GetSet(), placeholders{names: names, what: "secret"})
	for i, name := range names {
		if !usesName(out.Set, name) {
			c.failf(fmt.Sprintf("%s.secrets[%d].name", path, i), "no header has ${%s}: use it, or leave the secret out", name)
		}
	}
	if len(names) == 0 && len(in.GetSet()) > 0 {
		c.warn(path+".set", "no secret is in it, so it proves nothing: list under `secrets` what ${name} stands for")
	}
	for name, text := range in.GetSet() {
		canonical := http.CanonicalHeaderKey(name)
		if !strings.Contains(text, "${") && (canonical == "Authorization" || canonical == "Cookie" || isSecretKey(name)) {
			c.failf(joinPath(path+".set", name), "a secret is named, not written: write ${name} in its place, and list under `secrets` where name is")
		}
	}
	return out
}

// headerTemplates reads headers, and gives them in the order of their names.
func (c *compiler) headerTemplates(path string, in map[string]string, known placeholders) (out []HeaderTemplate) {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		at, text := joinPath(path, name), in[name]
		canonical := c.ownHeader(at, name)
		switch {
		case slices.ContainsFunc(out, func(h HeaderTemplate) bool { return h.Name == canonical }):
			c.failf(at, "%s is given twice, in two spellings: keep one", canonical)
		case !httpguts.ValidHeaderFieldValue(text):
			c.failf(at, "it has a control character, which no header may have: take it out")
		case strings.Trim(text, " \t") != text:
			c.failf(at, "blanks at the ends of a header are lost on the way: take them out")
		}
		out = append(out, HeaderTemplate{canonical, c.template(at, text, known)})
	}
	slices.SortFunc(out, func(a, b HeaderTemplate) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (c *compiler) answersDigest(path string, in *policyv1.Digest) *Digest {
	c.plainText(path+".username", in.GetUsername())
	return &Digest{
		Username: in.GetUsername(), MD5: in.GetUnsafeMd5(),
		Password: c.secret(path+".password.secret", in.GetPassword(), c.opts.CheckSecret),
	}
}

// presents reads a client certificate, which is the connections' that its upstream
// makes.
func (c *compiler) presents(path string, cred *Credential, in *policyv1.Credential) *ClientCert {
	out := &ClientCert{}
	out.file, out.key = c.clientCertificate(path+".client_certificate", in.GetClientCertificate())
	for i, b := range cred.bind {
		if !b.tls {
			c.failf(fmt.Sprintf("%s.bind[%d]", path, i), "a certificate is presented in a TLS handshake, which http has not: bind it to https origins")
		}
	}
	for _, limit := range []struct {
		key   string
		given bool
	}{{"methods", len(in.GetMethods()) > 0}, {"paths", len(in.GetPaths()) > 0}} {
		if limit.given {
			c.failf(path+"."+limit.key, "a certificate is presented before anything is asked for: leave it out")
		}
	}
	return out
}

// ofFetchsvc are headers that no credential may set.
var ofFetchsvc = append([]string{"Accept-Encoding", "Cdn-Loop", "Via"}, ofConnections...)

// ownHeader reads the name of a header that a credential sets.
func (c *compiler) ownHeader(path, name string) string {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		c.failf(path, "it is no header's name: use letters, digits and hyphens")
	case slices.Contains(ofFetchsvc, canonical) || strings.HasPrefix(canonical, "Proxy-"):
		c.failf(path, "%s frames or routes the message, and is set by fetchsvc itself: name the header that the upstream reads", canonical)
	}
	return canonical
}

// plainText refuses control characters.
func (c *compiler) plainText(path, text string) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		c.failf(path, "it has a control character: take it out")
	}
}
