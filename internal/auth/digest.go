package auth

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// digest is RFC 7616 with qop `auth`. An upstream must ask once; then what it asked
// is kept, and later requests are signed at once.
type digest struct {
	source
	scheme *policy.Digest
	spaces digestSpaces
	// cnonce makes one. Tests replace it.
	cnonce func() string
}

func newDigest(from source, scheme *policy.Digest) *digest {
	return &digest{source: from, scheme: scheme, cnonce: newNonce}
}

// newNonce is 16 random bytes in hexadecimal.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (d *digest) Needs() Needs { return Needs{} }

func (d *digest) Sign(ctx context.Context, o *Outgoing) error {
	password, err := d.get(ctx, d.scheme.Password) // also if nobody has asked yet: one that is not there is told at once
	if err != nil {
		return err
	}
	origin, uri := originOf(o.Request.URL), o.Request.URL.RequestURI()
	use, ok := d.spaces.take(origin, uri, given(o), d.Now(), d.cnonce)
	if !ok {
		delete(o.Request.Header, "Authorization")
		return nil
	}
	value, response := use.authorization(d.scheme.Username, password.Reveal(), o.Request.Method, uri)
	if err := d.put(o, "Authorization", value); err != nil {
		return err
	}
	o.reveal(secret.NewValue(response))
	o.proof = use
	return nil
}

// Answered learns from a challenge, and from the nonce that an answer says is next.
func (d *digest) Answered(_ context.Context, o *Outgoing, res *http.Response) Verdict {
	use, signed := o.proof.(nonceUse)
	origin := originOf(o.Request.URL)
	if res.StatusCode != http.StatusUnauthorized {
		if signed {
			d.spaces.next(origin, use, nextNonce(res.Header["Authentication-Info"]), d.Now())
		}
		return Verdict{}
	}
	asked, why := d.choose(res.Header["Www-Authenticate"])
	if why != "" {
		if signed {
			d.spaces.forget(origin, use.realm)
		}
		return Verdict{Why: why}
	}
	var refused *nonceUse
	if signed {
		refused = &use
	}
	d.spaces.learn(origin, o.Request.URL.RequestURI(), asked, refused, d.Now())
	o.proof = brought(asked.value)
	switch {
	case !signed && given(o) != "":
		return Verdict{Again: true, Stale: true, Why: "another request had the nonce: the upstream sent another"}
	case !signed:
		return Verdict{Again: true, Why: "the upstream asked for a digest (RFC 7616)"}
	case asked.stale:
		return Verdict{Again: true, Stale: true, Why: "the nonce was stale: the upstream sent another"}
	case asked.realm != use.realm:
		return Verdict{Again: true, Why: "the upstream asked for a digest of another realm"}
	case use.count > 1 || !use.fresh(d.Now()):
		return Verdict{Again: true, Why: "the nonce may be out of date: the upstream sent another"}
	}
	return Verdict{Why: "the upstream refused the user name or the password"}
}

// given is the nonce that came with the refusal which o answers; empty: it answers
// none.
func given(o *Outgoing) brought {
	if o.Before == nil {
		return ""
	}
	own, _ := o.Before.proof.(brought)
	return own
}

// choose takes the strongest challenge that may be answered, or says why there is
// none.
func (d *digest) choose(lines []string) (best digestChallenge, why string) {
	why = "the upstream refused the request and asks for no digest"
	for _, c := range challenges(lines) {
		if c.scheme != "digest" {
			continue
		}
		asked, bad := readDigest(c)
		switch {
		case bad != "":
			why = bad
		case asked.hash.weak && !d.scheme.MD5:
			why = "the upstream asks for a digest with MD5, which only unsafe_md5 allows"
		case asked.hash.strength > best.hash.strength:
			best = asked
		}
	}
	if best.hash.strength > 0 {
		return best, ""
	}
	return best, why
}

// digestHash is an algorithm of RFC 7616 section 6.1.
type digestHash struct {
	name     string // as in the challenge; empty: it named none
	strength int    // 0: none
	weak     bool
	session  bool
	sum      func(string) string
}

func hashNamed(name string) (h digestHash) {
	h.name = name
	base := strings.ToLower(cmp.Or(name, "MD5"))
	base, h.session = strings.CutSuffix(base, "-sess")
	switch base {
	case "md5":
		h.strength, h.weak = 1, true
		h.sum = func(s string) string { b := md5.Sum([]byte(s)); return hex.EncodeToString(b[:]) }
	case "sha-256":
		h.strength = 2
		h.sum = func(s string) string { b := sha256.Sum256([]byte(s)); return hex.EncodeToString(b[:]) }
	case "sha-512-256":
		h.strength = 3
		h.sum = func(s string) string { b := sha512.Sum512_256([]byte(s)); return hex.EncodeToString(b[:]) }
	}
	return h
}

// digestChallenge is what an upstream asks for.
type digestChallenge struct {
	realm, value, opaque string // value: the nonce
	hasOpaque            bool
	hash                 digestHash
	legacy               bool // RFC 2069: no qop
	userhash, utf8       bool
	stale                bool
	domain               []string
}

// readDigest says what is wrong with a challenge that cannot be answered.
func readDigest(c challenge) (d digestChallenge, bad string) {
	var hasRealm, hasNonce, hasQop bool
	d.realm, hasRealm = c.params["realm"]
	d.value, hasNonce = c.params["nonce"]
	d.opaque, d.hasOpaque = c.params["opaque"]
	d.hash = hashNamed(c.params["algorithm"])
	d.userhash = strings.EqualFold(c.params["userhash"], "true")
	d.utf8 = strings.EqualFold(c.params["charset"], "utf-8")
	d.stale = strings.EqualFold(c.params["stale"], "true")
	d.domain = strings.Fields(c.params["domain"])
	qop, hasQop := c.params["qop"]
	auth := false
	for word := range strings.SplitSeq(qop, ",") {
		auth = auth || strings.EqualFold(strings.Trim(word, " \t"), "auth")
	}
	d.legacy = !hasQop
	switch {
	case !hasRealm || !hasNonce || d.value == "":
		return d, "the upstream asks for a digest without a realm or a nonce"
	case d.hash.strength == 0:
		return d, "the upstream asks for a digest by an algorithm that is none of MD5, SHA-256 and SHA-512-256"
	case hasQop && !auth:
		return d, "the upstream asks for a digest of the body (qop auth-int alone), which is not supported"
	case d.legacy && !d.hash.weak:
		return d, "the upstream asks for a digest without qop, which RFC 7616 requires"
	}
	return d, ""
}

// authorization is RFC 7616 section 3.4; the digest alone is the second value.
func (u nonceUse) authorization(username, password, method, uri string) (value, response string) {
	if u.utf8 {
		username, password = norm.NFC.String(username), norm.NFC.String(password)
	}
	a1 := username + ":" + u.realm + ":" + password
	if u.hash.session {
		a1 = u.hash.sum(a1) + ":" + u.session.nonce + ":" + u.session.cnonce
	}
	nc := fmt.Sprintf("%08x", u.count)
	between := u.value + ":" + nc + ":" + u.cnonce + ":auth"
	if u.legacy {
		between = u.value
	}
	response = u.hash.sum(u.hash.sum(a1) + ":" + between + ":" + u.hash.sum(method+":"+uri))

	var b strings.Builder
	b.WriteString("Digest " + u.user(username))
	fmt.Fprintf(&b, `, realm=%s, nonce=%s, uri=%s, response="%s"`, quote(u.realm), quote(u.value), quote(uri), response)
	if u.hash.name != "" {
		b.WriteString(", algorithm=" + u.hash.name)
	}
	if !u.legacy {
		b.WriteString(`, qop=auth, nc=` + nc + `, cnonce="` + u.cnonce + `"`)
	}
	if u.hasOpaque {
		b.WriteString(", opaque=" + quote(u.opaque))
	}
	if u.userhash {
		b.WriteString(", userhash=true")
	}
	return b.String(), response
}

// user is the parameter that names the user.
func (u nonceUse) user(name string) string {
	switch ascii := !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }); {
	case u.userhash:
		return `username="` + u.hash.sum(name+":"+u.realm) + `"`
	case ascii || !u.utf8:
		return "username=" + quote(name)
	default: // RFC 8187 section 3.2
		return "username*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
}

// nextNonce reads Authentication-Info (RFC 7616 section 3.5).
func nextNonce(lines []string) string {
	for _, line := range lines {
		if len(line) > maxChallengeLine {
			continue
		}
		info, ok := challengesOf("digest " + line)
		if ok && len(info) == 1 && info[0].params["nextnonce"] != "" {
			return info[0].params["nextnonce"]
		}
	}
	return ""
}

// originOf is what nonces belong to.
func originOf(u *url.URL) string { return u.Scheme + "://" + u.Host }
