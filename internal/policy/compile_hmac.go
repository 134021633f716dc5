package policy

import (
	"cmp"
	"slices"
	"strings"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// ofRequest are the parts of a request that a signed text may have in it, beside
// its headers.
var ofRequest = []string{"method", "scheme", "host", "path", "query", "timestamp", "nonce", "body_sha256", "body_md5", "key_id"}

func (c *compiler) hmac(path string, in *policyv1.Hmac) *HMAC {
	parts := placeholders{names: ofRequest, what: "part", headers: true}
	out := &HMAC{
		Key:         c.secret(path+".key.secret", in.GetKey(), c.opts.CheckSecret),
		KeyEncoding: cmp.Or(in.GetKeyEncoding(), "text"), Hash: cmp.Or(in.GetHash(), "sha256"),
		Encoding: cmp.Or(in.GetEncoding(), "hex"), Timestamp: cmp.Or(in.GetTimestamp(), "unix"), KeyID: in.GetKeyId(),
	}
	parts.names = append(slices.Clone(ofRequest), "body")
	out.Text = c.template(path+".text", in.GetText(), parts)
	parts.names = append(slices.Clone(ofRequest), "signature")
	out.Headers = c.headerTemplates(path+".headers", in.GetHeaders(), parts)
	c.plainText(path+".key_id", out.KeyID)
	c.hmacFits(path, in, out)
	return out
}

// hmacFits says what the upstream could not check, and what is of no use.
func (c *compiler) hmacFits(path string, in *policyv1.Hmac, h *HMAC) {
	used := func(name string) bool { return h.Text.has(name) || usesName(h.Headers, name) }
	if len(in.GetHeaders()) > 0 && !usesName(h.Headers, "signature") {
		c.failf(path+".headers", "none has ${signature}, so it would not be sent: add a header such as X-Signature: ${signature}")
	}
	for _, name := range []string{"timestamp", "nonce"} {
		if h.Text.has(name) && !usesName(h.Headers, name) {
			c.failf(path+".headers", "none has ${%s}, which the upstream needs to check the signature: add a header for it", name)
		}
	}
	for _, part := range h.Text {
		name, ok := strings.CutPrefix(part.Name, headerPart)
		if ok && slices.ContainsFunc(h.Headers, func(own HeaderTemplate) bool { return own.Name == name }) {
			c.failf(path+".text", "%s is a header that this credential sets: write what stands in it, such as ${timestamp}", name)
		}
	}
	if h.KeyID == "" && used("key_id") {
		c.failf(path+".key_id", "is missing, and ${key_id} stands for it: write key_id: NAME")
	}
	if h.KeyID != "" && !used("key_id") {
		c.failf(path+".key_id", "nothing has ${key_id}: use it, or leave it out")
	}
	if in.GetTimestamp() != "" && !used("timestamp") {
		c.failf(path+".timestamp", "nothing has ${timestamp}: use it, or leave it out")
	}
	if len(h.Text) > 0 && !slices.ContainsFunc(h.Text, func(p TemplatePart) bool { return p.Name != "" && p.Name != "key_id" }) {
		c.warn(path+".text", "it has nothing of the request in it: whoever sees the signature can send it with any other")
	}
}
