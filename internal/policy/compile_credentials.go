package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// defineCredentials reads `credentials`; pools last, since they are made of others.
func (c *compiler) defineCredentials(file *policyv1.Policy, s *Snapshot, base inherited) {
	all := make([]*Credential, 0, len(file.GetCredentials()))
	for i, in := range file.GetCredentials() {
		path := fmt.Sprintf("credentials[%d]", i)
		cred := c.defineCredential(path, s, base, in)
		all = append(all, cred)
		if c.credentials[cred.Name] != nil {
			c.failf(path+".name", "credential %q is defined twice", cred.Name)
			continue
		}
		c.credentials[cred.Name] = cred
	}
	for i, in := range file.GetCredentials() {
		if in.GetPool() != nil {
			c.fillPool(fmt.Sprintf("credentials[%d].pool", i), all[i], in.GetPool())
		}
	}
}

func (c *compiler) defineCredential(path string, s *Snapshot, base inherited, in *policyv1.Credential) *Credential {
	cred := &Credential{Name: in.GetName(), ID: in.GetName() + "-" + c.digest(in)}
	for i, text := range in.GetBind() {
		at, err := parseOrigin(text)
		if err != nil {
			c.fail(fmt.Sprintf("%s.bind[%d]", path, i), err)
			continue
		}
		cred.bind = append(cred.bind, at)
	}
	if len(in.GetMethods()) > 0 {
		cred.methods = c.methods(path+".methods", methodSet{}, in.GetMethods())
	}
	for i, text := range in.GetPaths() {
		g, err := parseGlob(text)
		if err != nil {
			c.fail(fmt.Sprintf("%s.paths[%d]", path, i), err)
			continue
		}
		cred.paths = append(cred.paths, g)
	}
	c.scheme(path, s, base, cred, in)
	cred.headers = headersOf(cred.Scheme)
	return cred
}

// scheme reads what is sent.
func (c *compiler) scheme(path string, s *Snapshot, base inherited, cred *Credential, in *policyv1.Credential) {
	switch scheme := in.GetScheme().(type) {
	case *policyv1.Credential_Bearer:
		cred.Scheme = &Bearer{c.secret(path+".bearer.token.secret", scheme.Bearer.GetToken(), c.opts.CheckSecret)}
	case *policyv1.Credential_Basic:
		cred.Scheme = c.basic(path+".basic", scheme.Basic)
	case *policyv1.Credential_ApiKey:
		cred.Scheme = c.apiKey(path+".api_key", scheme.ApiKey)
	case *policyv1.Credential_Headers:
		cred.Scheme = c.headers(path+".headers", scheme.Headers)
	case *policyv1.Credential_Digest:
		cred.Scheme = c.answersDigest(path+".digest", scheme.Digest)
	case *policyv1.Credential_Oauth2:
		cred.Scheme = c.oauth2(path+".oauth2", s, base, cred, scheme.Oauth2)
	case *policyv1.Credential_Aws:
		cred.Scheme = c.aws(path+".aws", s, base, cred, scheme.Aws)
	case *policyv1.Credential_Hmac:
		cred.Scheme = c.hmac(path+".hmac", scheme.Hmac)
	case *policyv1.Credential_ClientCertificate:
		cred.Scheme = c.presents(path, cred, in)
	case *policyv1.Credential_Pool:
		cred.Scheme = &Pool{} // its members may come behind it
	}
}

// headersOf are the headers that a scheme sets by its settings.
func headersOf(scheme Scheme) (names []string) {
	var set []HeaderTemplate
	switch s := scheme.(type) {
	case *APIKey:
		if s.Header != "" {
			names = append(names, s.Header)
		}
	case *Headers:
		set = s.Set
	case *HMAC:
		set = s.Headers
	case *Pool:
		for _, m := range s.Members {
			names = append(names, m.headers...)
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for _, h := range set {
		names = append(names, h.Name)
	}
	return names
}

// digest changes when anything of m does, or where its relative names start from.
func (c *compiler) digest(m proto.Message) string {
	h := sha256.New()
	h.Write([]byte(c.dir + "\x00"))
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // text that is no UTF-8, which no file holds
		text = fmt.Append(nil, m)
	}
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)[:8])
}
