package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// certificates find callers by the names in their certificates.
type certificates struct {
	spiffe, dns, common map[string]string
	// beneath are SPIFFE IDs that end in a slash, the longest first.
	beneath []beneath
}

type beneath struct{ prefix, caller string }

func newCertificates(callers []*policy.Caller) certificates {
	c := certificates{spiffe: map[string]string{}, dns: map[string]string{}, common: map[string]string{}}
	for _, caller := range callers {
		for _, id := range caller.SPIFFE {
			if prefix, ok := strings.CutSuffix(id, "*"); ok {
				c.beneath = append(c.beneath, beneath{prefix, caller.Name})
				continue
			}
			c.spiffe[id] = caller.Name
		}
		for _, name := range caller.DNS {
			c.dns[name] = caller.Name
		}
		for _, name := range caller.CommonNames {
			c.common[name] = caller.Name
		}
	}
	slices.SortFunc(c.beneath, func(a, b beneath) int { return len(b.prefix) - len(a.prefix) })
	return c
}

// identify says whose certificate leaf is.
func (c *certificates) identify(leaf *x509.Certificate, now time.Time) (Identity, error) {
	if now.After(leaf.NotAfter) { // the connection may be older than that
		return Identity{}, refused("the client certificate expired at %s: connect again with a new one", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	switch callers := c.callers(leaf); len(callers) {
	case 1:
		return Identity{Caller: callers[0], How: ByMTLS, Expires: leaf.NotAfter}, nil
	case 0:
		return Identity{}, refused("the client certificate is good, and no caller has one of its names: [%s]", clip(strings.Join(namesOf(leaf), ", ")))
	default:
		return Identity{}, refused("the client certificate has names of %d callers: each needs its own", len(callers))
	}
}

// callers are those that names of leaf are of.
func (c *certificates) callers(leaf *x509.Certificate) (out []string) {
	add := func(caller string) {
		if caller != "" && !slices.Contains(out, caller) {
			out = append(out, caller)
		}
	}
	add(c.bySPIFFE(spiffeID(leaf)))
	for _, name := range leaf.DNSNames {
		add(c.dns[strings.ToLower(name)])
	}
	add(c.common[commonName(leaf)])
	return out
}

// bySPIFFE finds an exact ID, else the longest that it lies beneath.
func (c *certificates) bySPIFFE(id string) string {
	if caller := c.spiffe[id]; caller != "" || id == "" {
		return caller
	}
	for _, b := range c.beneath {
		if strings.HasPrefix(id, b.prefix) {
			return b.caller
		}
	}
	return ""
}

// spiffeID is the one URI name of a certificate (X.509-SVID section 2: a validator
// refuses more than one), if that is a SPIFFE ID; else empty.
func spiffeID(leaf *x509.Certificate) string {
	if len(leaf.URIs) != 1 {
		return ""
	}
	u := leaf.URIs[0]
	id := "spiffe://" + u.Host + u.EscapedPath()
	if u.Scheme != "spiffe" || u.String() != id || policy.CheckSPIFFE(id) != nil {
		return ""
	}
	return id
}

// commonName is the subject's, if it has exactly one.
func commonName(leaf *x509.Certificate) (name string) {
	for _, attribute := range leaf.Subject.Names {
		if !attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			continue
		}
		text, ok := attribute.Value.(string)
		if name != "" || !ok {
			return ""
		}
		name = text
	}
	return name
}

func namesOf(leaf *x509.Certificate) (out []string) {
	for _, u := range leaf.URIs {
		out = append(out, u.String())
	}
	out = append(out, leaf.DNSNames...)
	if cn := leaf.Subject.CommonName; cn != "" {
		out = append(out, "CN="+cn)
	}
	return out
}

// confirmed holds a token to what it is bound to (its claim `cnf`, RFC 7800):
// whoever took it elsewhere has not that. A certificate is what can be checked
// (RFC 8705 section 3.1).
func confirmed(claims map[string]any, leaf *x509.Certificate) error {
	cnf, bound := claims["cnf"]
	if !bound {
		return nil
	}
	members, _ := cnf.(map[string]any)
	want, ok := members["x5t#S256"].(string)
	switch {
	case !ok || len(members) != 1:
		return refused("the token is bound (`cnf`) to what cannot be checked here: only certificates (x5t#S256) can")
	case leaf == nil:
		return refused("the token is bound to a client certificate (`cnf`): use that for the connection too")
	}
	sum := sha256.Sum256(leaf.Raw)
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(want)) != 1 {
		return refused("the token is bound to another client certificate (`cnf`) than the connection has")
	}
	return nil
}

// clip shortens what a caller sent, for an error.
func clip(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
