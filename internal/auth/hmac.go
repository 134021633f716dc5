package auth

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// keyed signs a text made from the request by a shared key.
type keyed struct {
	source
	scheme *policy.HMAC
	used   map[string]bool // the names in its templates
	nonce  func() string   // makes one; tests replace it
}

func newKeyed(from source, scheme *policy.HMAC) *keyed {
	k := &keyed{source: from, scheme: scheme, used: map[string]bool{}, nonce: newNonce}
	for _, t := range append([]policy.HeaderTemplate{{Value: scheme.Text}}, scheme.Headers...) {
		for _, part := range t.Value {
			k.used[part.Name] = true
		}
	}
	return k
}

func (k *keyed) Needs() Needs {
	return Needs{Body: k.used["body"] || k.used["body_sha256"] || k.used["body_md5"]}
}

func (k *keyed) Answered(context.Context, *Outgoing, *http.Response) Verdict { return Verdict{} }

func (k *keyed) Sign(ctx context.Context, o *Outgoing) error {
	key, err := k.key(ctx)
	if err != nil {
		return err
	}
	parts, err := k.parts(o)
	if err != nil {
		return err
	}
	lookup := func(name string) (string, bool) {
		if header, ok := strings.CutPrefix(name, "header."); ok {
			return sentHeader(o.Request, header), true
		}
		value, ok := parts[name]
		return value, ok
	}
	mac := hmac.New(k.hash(), key)
	for _, part := range k.scheme.Text {
		_, _ = io.WriteString(mac, part.Text) // never fails
		if part.Name == "body" {
			if err := k.readBody(o, mac); err != nil {
				return err
			}
			continue
		}
		value, ok := lookup(part.Name)
		if !ok && part.Name != "" {
			return k.cannot("nothing stands for ${%s} in the text that it signs", part.Name)
		}
		_, _ = io.WriteString(mac, value)
	}
	parts["signature"] = k.encode(mac.Sum(nil))
	values, err := k.fillAll(k.scheme.Headers, lookup)
	if err != nil {
		return err
	}
	for i, t := range k.scheme.Headers {
		if hasPart(t.Value, "signature") {
			o.set(t.Name, values[i])
		} else {
			o.Request.Header[t.Name] = []string{values[i]}
		}
	}
	o.reveal(secret.NewValue(parts["signature"]))
	return nil
}

// parts are what the templates' names stand for, but for headers, the body itself
// and the signature.
func (k *keyed) parts(o *Outgoing) (map[string]string, error) {
	r := o.Request
	path, query, _ := strings.Cut(r.URL.RequestURI(), "?")
	parts := map[string]string{
		"method": r.Method, "scheme": r.URL.Scheme, "host": sentHeader(r, "Host"), "path": path, "query": query,
		"timestamp": k.time(k.Now()), "nonce": k.nonce(), "key_id": k.scheme.KeyID,
	}
	for name, sum := range map[string]hash.Hash{"body_sha256": sha256.New(), "body_md5": md5.New()} {
		if !k.used[name] {
			continue
		}
		if err := k.readBody(o, sum); err != nil {
			return nil, err
		}
		parts[name] = k.encode(sum.Sum(nil))
	}
	return parts, nil
}

// sentHeader is a header as it is sent; empty: it is not.
func sentHeader(r *http.Request, name string) string {
	switch name = http.CanonicalHeaderKey(name); {
	case name == "Host" && r.Host != "":
		return r.Host
	case name == "Host":
		return r.URL.Host
	case name == "Content-Length" && r.ContentLength > 0:
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header[name])
	for i, v := range values {
		values[i] = strings.Trim(v, " \t") // as net/http does
	}
	return strings.Join(values, ", ")
}

func hasPart(t policy.Template, name string) bool {
	return slices.ContainsFunc(t, func(part policy.TemplatePart) bool { return part.Name == name })
}

// key is the shared key as bytes.
func (k *keyed) key(ctx context.Context) ([]byte, error) {
	v, err := k.get(ctx, k.scheme.Key)
	if err != nil {
		return nil, err
	}
	var key []byte
	switch k.scheme.KeyEncoding {
	case "hex":
		key, err = hex.DecodeString(v.Reveal())
	case "base64":
		key, err = decodeBase64(v.Reveal())
	default:
		key = []byte(v.Reveal())
	}
	if err != nil || len(key) == 0 { // the error would quote the key
		return nil, k.cannot("its key is not written in %s, as its key_encoding says", k.scheme.KeyEncoding)
	}
	return key, nil
}

// decodeBase64 takes both alphabets of RFC 4648, with padding or without.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	return base64.RawStdEncoding.DecodeString(s)
}

func (k *keyed) hash() func() hash.Hash {
	switch k.scheme.Hash {
	case "sha512":
		return sha512.New
	case "sha1":
		return sha1.New
	default:
		return sha256.New
	}
}

func (k *keyed) encode(b []byte) string {
	if k.scheme.Encoding == "base64" {
		return base64.StdEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}

func (k *keyed) time(now time.Time) string {
	switch k.scheme.Timestamp {
	case "unix_ms":
		return strconv.FormatInt(now.UnixMilli(), 10)
	case "rfc3339":
		return now.UTC().Format(time.RFC3339)
	case "http":
		return now.UTC().Format(http.TimeFormat)
	default:
		return strconv.FormatInt(now.Unix(), 10)
	}
}
