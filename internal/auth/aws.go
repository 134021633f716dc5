package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// aws is AWS Signature Version 4, in headers. AWS's own signer for Go rewrites the
// query that it signs (sorted, coded anew, less what it cannot read), signs headers
// that change on the way and does not normalise paths, so this one is ours; AWS's
// test suite holds it.
type aws struct {
	source
	scheme *policy.AWS
	form   awsForm
	role   *awsRole // nil: the keys themselves sign
	skew   clockSkew
}

// awsForm is how a service's signatures differ.
type awsForm struct {
	// rawPath: the path is coded once and stands as it is, which only S3 does; the
	// others code it twice and take out dots and empty segments.
	rawPath bool
	// digest: the body's digest goes in a header of its own.
	digest bool
}

func formOf(service string) awsForm {
	s3 := service == "s3" || strings.HasPrefix(service, "s3-") || service == "s3express"
	return awsForm{rawPath: s3, digest: s3 || service == "glacier" || service == "aoss"}
}

// awsKeys sign. A zero token is none.
type awsKeys struct{ id, secret, token secret.Value }

func newAWS(from source, scheme *policy.AWS, upstream string) *aws {
	a := &aws{source: from, scheme: scheme, form: formOf(scheme.Service)}
	if scheme.Role != nil {
		a.role = newAWSRole(a, upstream)
	}
	return a
}

func (a *aws) close() {
	if a.role != nil {
		a.role.close()
	}
}

func (a *aws) Needs() Needs { return Needs{Body: !a.scheme.UnsignedPayload} }

func (a *aws) Sign(ctx context.Context, o *Outgoing) error {
	keys, err := a.keys(ctx, o)
	if err != nil {
		return err
	}
	digest, err := a.payload(o)
	if err != nil {
		return err
	}
	s := awsSigning{
		form: a.form, region: a.scheme.Region, service: a.scheme.Service,
		at: a.skew.now(a.Now()), digest: digest, keys: keys,
	}
	s.form.digest = s.form.digest || a.scheme.UnsignedPayload
	s.sign(o)
	o.proof = keys
	return nil
}

func (a *aws) keys(ctx context.Context, o *Outgoing) (awsKeys, error) {
	if a.role != nil {
		return a.role.keys(ctx, o)
	}
	return a.baseKeys(ctx)
}

// baseKeys are those of the policy.
func (a *aws) baseKeys(ctx context.Context) (keys awsKeys, err error) {
	if keys.id, err = a.get(ctx, a.scheme.AccessKeyID); err != nil {
		return keys, err
	}
	if keys.secret, err = a.get(ctx, a.scheme.Secret); err != nil {
		return keys, err
	}
	keys.token, err = a.optional(ctx, a.scheme.SessionToken)
	if a.scheme.SessionTokenOptional && err != nil {
		return awsKeys{id: keys.id, secret: keys.secret}, nil
	}
	return keys, err
}

// unsigned stands for a digest that nobody computed.
const unsigned = "UNSIGNED-PAYLOAD"

// payload is the digest of the body.
func (a *aws) payload(o *Outgoing) (string, error) {
	if a.scheme.UnsignedPayload {
		return unsigned, nil
	}
	hash := sha256.New()
	if err := a.readBody(o, hash); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// readBody writes the request's body to w.
func (s source) readBody(o *Outgoing, w io.Writer) error {
	if o.Body == nil {
		if o.Request.ContentLength != 0 {
			return s.cannot("it signs the body, which is not there as a whole")
		}
		return nil
	}
	body := o.Body()
	defer func() { _ = body.Close() }()
	if _, err := io.Copy(w, body); err != nil {
		return s.cannot("it signs the body, which cannot be read")
	}
	return nil
}

// Answered learns how far the clocks are apart where that may be why AWS refused,
// and that a role's keys have ended before their time.
func (a *aws) Answered(_ context.Context, o *Outgoing, res *http.Response) Verdict {
	keys, signed := o.proof.(awsKeys)
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return Verdict{}
	}
	if a.skew.learn(a.Now(), res.Header) {
		return Verdict{Again: true, Why: "the clock of AWS is another: the request is dated by it"}
	}
	kind, _, _ := strings.Cut(res.Header.Get("X-Amzn-Errortype"), ":")
	if signed && a.role != nil && strings.HasPrefix(kind, "ExpiredToken") && a.role.drop(keys) {
		return Verdict{Again: true, Why: "the role's keys have ended: new ones are fetched"}
	}
	return Verdict{}
}

// maxSkew is how far clocks may be apart before AWS refuses a request; 5 minutes,
// and 15 at some services.
const maxSkew = 4 * time.Minute

// clockSkew is how far AWS's clock is ahead of ours, as far as an answer has shown.
// Safe for concurrent use.
type clockSkew struct{ ahead atomic.Int64 }

func (c *clockSkew) now(own time.Time) time.Time { return own.Add(time.Duration(c.ahead.Load())) }

// learn says that an answer's Date is far from what requests are dated by.
func (c *clockSkew) learn(own time.Time, h http.Header) bool {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil || h.Get("Age") != "" { // an old answer has an old date
		return false
	}
	ahead := at.Sub(own)
	if (ahead-time.Duration(c.ahead.Load())).Abs() <= maxSkew || ahead.Abs() > 24*time.Hour {
		return false
	}
	c.ahead.Store(int64(ahead))
	return true
}

// awsSigning is one signature.
type awsSigning struct {
	form            awsForm
	region, service string
	at              time.Time
	digest          string
	keys            awsKeys
}

// sign puts the signature and what belongs to it in the place of the caller's.
func (s *awsSigning) sign(o *Outgoing) {
	r, at := o.Request, s.at.UTC()
	for _, name := range []string{"Authorization", "X-Amz-Content-Sha256", "X-Amz-Security-Token"} {
		delete(r.Header, name)
	}
	r.Header["X-Amz-Date"] = []string{at.Format("20060102T150405Z")}
	if s.form.digest {
		r.Header["X-Amz-Content-Sha256"] = []string{s.digest}
	}
	if !s.keys.token.IsZero() {
		o.set("X-Amz-Security-Token", s.keys.token.Reveal())
		o.reveal(s.keys.token)
	}
	request, names := s.canonical(r)
	day := at.Format("20060102")
	scope := day + "/" + s.region + "/" + s.service + "/aws4_request"
	hashed := sha256.Sum256([]byte(request))
	text := "AWS4-HMAC-SHA256\n" + at.Format("20060102T150405Z") + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])
	key := mac([]byte("AWS4"+s.keys.secret.Reveal()), day)
	for _, part := range []string{s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	signature := hex.EncodeToString(mac(key, text))
	o.set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.keys.id.Reveal()+"/"+scope+", SignedHeaders="+names+", Signature="+signature)
	o.reveal(s.keys.id, secret.NewValue(signature))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	_, _ = io.WriteString(m, text) // never fails
	return m.Sum(nil)
}
