package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/secret"
	"github.com/fetchsvc/fetchsvc/internal/telemetry"
)

const (
	// stsTime is how long a request to STS may take.
	stsTime = 10 * time.Second
	// stsAhead is how long before their end a role's keys are fetched anew, and up to
	// stsSpread earlier, so that many processes do not do so at once.
	stsAhead, stsSpread = 5 * time.Minute, time.Minute
	// stsEnd is how long before their end keys are no longer used.
	stsEnd = 30 * time.Second
	// stsPause is for how long a failure is told to all who ask, doubling up to
	// stsMostPause.
	stsPause, stsMostPause = time.Second, 5 * time.Second
	// maxSTS bounds the answer, in bytes, as that of a token endpoint is bounded.
	maxSTS = 256 << 10
)

// awsRole has the keys of a role, which AWS STS gives for a while. Safe for
// concurrent use.
type awsRole struct {
	base     *aws
	upstream string

	ctx     context.Context // ends with close
	end     context.CancelFunc
	flights sync.WaitGroup
	tally   fetchTally

	mu      sync.Mutex
	now     roleKeys
	flight  *roleFlight // nil: none is under way
	failure error       // of the last flight; nil: it did not fail
	pause   time.Duration
	retryAt time.Time
}

// roleKeys are keys with when they are to be used.
type roleKeys struct {
	awsKeys
	got, renew, expires time.Time
}

// roleFlight is a request to STS that any number of calls wait for.
type roleFlight struct {
	span trace.SpanContext
	done chan struct{} // closed when the rest is there
	keys awsKeys
	err  error
}

func newAWSRole(base *aws, upstream string) *awsRole {
	r := &awsRole{base: base, upstream: upstream}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

// close ends what is under way, and waits for it.
func (r *awsRole) close() {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.flights.Wait()
}

// keys gives keys that can sign. They are renewed behind the scenes; only when
// there are none do calls wait, which is noted in o.
func (r *awsRole) keys(ctx context.Context, o *Outgoing) (awsKeys, error) {
	r.mu.Lock()
	now := r.base.Now()
	good := now.Before(r.now.expires)
	if (!good || !now.Before(r.now.renew)) && r.flight == nil && !now.Before(r.retryAt) && r.ctx.Err() == nil {
		own, span := telemetry.Detached(r.ctx, telemetry.TraceFrom(ctx))
		f := &roleFlight{span: span, done: make(chan struct{})}
		r.flight = f
		r.flights.Go(func() { r.fly(own, f) })
	}
	keys, f, failure := r.now.awsKeys, r.flight, r.failure
	r.mu.Unlock()
	switch {
	case good:
		return keys, nil
	case f == nil && failure != nil:
		return awsKeys{}, copied(failure)
	}
	w := o.waits(now)
	defer w.end(r.base.Now)
	if f == nil {
		return r.late(ctx, w)
	}
	w.Fetch = f.span
	select {
	case <-f.done:
	case <-ctx.Done():
		return awsKeys{}, endedWaiting(ctx, r.base.name)
	}
	switch {
	case f.err == nil:
		return f.keys, nil
	case r.ctx.Err() != nil:
		return r.late(ctx, w)
	}
	return awsKeys{}, copied(f.err)
}

// late fetches keys within a call of an older policy than the one in force: nothing
// of its credential runs in the background any more.
func (r *awsRole) late(ctx context.Context, w *Waited) (awsKeys, error) {
	own, span := telemetry.Detached(ctx, telemetry.TraceFrom(ctx))
	w.Fetch = span
	limited, cancel := context.WithTimeout(own, stsTime)
	defer cancel()
	keys, err := r.assume(limited)
	switch {
	case err != nil && ctx.Err() != nil:
		return awsKeys{}, endedWaiting(ctx, r.base.name)
	case err != nil:
		r.tally.failed.Add(1)
		return awsKeys{}, err
	}
	r.tally.brought.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = keys
	return keys.awsKeys, nil
}

// fly fetches keys. It belongs to no call: others wait for it too.
func (r *awsRole) fly(ctx context.Context, f *roleFlight) {
	ctx, cancel := context.WithTimeout(ctx, stsTime)
	defer cancel()
	keys, err := r.assume(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(f.done)
	r.flight = nil
	if err == nil {
		r.tally.brought.Add(1)
		r.now, r.failure, r.pause, r.retryAt = keys, nil, 0, time.Time{}
		f.keys = keys.awsKeys
		return
	}
	f.err = err
	if r.ctx.Err() != nil {
		return
	}
	r.tally.failed.Add(1)
	r.pause = min(max(2*r.pause, stsPause), stsMostPause)
	r.retryAt = r.base.Now().Add(r.pause)
	refused := fault.From(err)
	refused.RetryAfter, refused.SafeToRetry = r.pause, true
	r.failure, f.err = refused, refused
	r.base.Log.WarnContext(ctx, "the keys of an AWS role cannot be fetched", "credential", r.base.name, "error", err.Error())
}

// drop takes keys out of use that AWS says have ended, unless they came just now.
// It says whether others may do better.
func (r *awsRole) drop(keys awsKeys) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now.id.Reveal() != keys.id.Reveal() {
		return true
	}
	if r.base.Now().Sub(r.now.got) < stsSpread {
		return false
	}
	r.now = roleKeys{}
	return true
}

// assume asks STS (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
func (r *awsRole) assume(ctx context.Context) (roleKeys, error) {
	if r.base.Transport == nil {
		return roleKeys{}, r.base.cannot("this process makes no calls of its own to AWS STS")
	}
	for again := false; ; again = true {
		res, err := r.ask(ctx)
		if err != nil {
			return roleKeys{}, err
		}
		keys, err := r.read(res)
		if err == nil || again || !r.base.skew.learn(r.base.Now(), res.Header) {
			return keys, err
		}
	}
}

// ask sends the request. The caller closes the answer's body.
func (r *awsRole) ask(ctx context.Context) (*http.Response, error) {
	keys, err := r.base.baseKeys(ctx)
	if err != nil {
		return nil, err
	}
	role := r.base.scheme.Role
	form := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"},
		"RoleArn": {role.ARN}, "RoleSessionName": {role.SessionName},
		"DurationSeconds": {strconv.Itoa(int(role.Duration / time.Second))},
	}
	if role.ExternalID != "" {
		form.Set("ExternalId", role.ExternalID)
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, role.STS.String(), strings.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fault.CredentialUnavailable, err, "credential \""+r.base.name+"\" cannot be used: its sts_url cannot be asked")
	}
	req.Header["Content-Type"] = []string{"application/x-www-form-urlencoded; charset=utf-8"}
	digest := sha256.Sum256([]byte(body))
	s := awsSigning{
		region: stsRegion(role.STS.Host.Name, r.base.scheme.Region), service: "sts",
		at: r.base.skew.now(r.base.Now()), digest: hex.EncodeToString(digest[:]), keys: keys,
	}
	s.sign(&Outgoing{Request: req})
	res, err := r.base.Transport(r.upstream).RoundTrip(req)
	if err != nil {
		return nil, fault.Wrap(fault.CredentialUnavailable, err,
			"credential \""+r.base.name+"\" cannot be used: AWS STS cannot be reached for its role's keys; the log of fetchsvc says why")
	}
	return res, nil
}

// stsRegion: the endpoint without a region is of us-east-1.
func stsRegion(host, region string) string {
	if host == "sts.amazonaws.com" {
		return "us-east-1"
	}
	return region
}

// stsAnswer is what STS says: keys, or an error.
type stsAnswer struct {
	Keys struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	} `xml:"AssumeRoleResult>Credentials"`
	Code string `xml:"Error>Code"`
}

// read reads the answer. Its errors have STS's error code at most: not even the log
// gets what else it says.
func (r *awsRole) read(res *http.Response) (keys roleKeys, err error) {
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxSTS+1))
	if err != nil {
		return keys, fault.Wrap(fault.CredentialUnavailable, err, "credential \""+r.base.name+"\" cannot be used: the answer of AWS STS broke off")
	}
	var answer stsAnswer
	bad := xml.Unmarshal(body, &answer)
	if res.StatusCode != http.StatusOK {
		return keys, r.base.cannot("AWS STS does not let it assume its role: it answered %d%s", res.StatusCode, stsCode(answer.Code))
	}
	given := answer.Keys
	if bad != nil || len(body) > maxSTS || given.AccessKeyID == "" || given.SecretAccessKey == "" || given.SessionToken == "" || given.Expiration.IsZero() ||
		!fieldValue(given.AccessKeyID+given.SessionToken) {
		return keys, r.base.cannot("what AWS STS answered has no keys in it")
	}
	now := r.base.Now()
	theirs := now // so that a clock that is off does not shorten or lengthen their life
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		theirs = at
	}
	life := given.Expiration.Sub(theirs)
	if life <= stsEnd {
		return keys, r.base.cannot("the keys that AWS STS gave have ended already")
	}
	ahead := min(stsAhead+rand.N(stsSpread), life/2)
	return roleKeys{
		awsKeys: awsKeys{secret.NewValue(given.AccessKeyID), secret.NewValue(given.SecretAccessKey), secret.NewValue(given.SessionToken)},
		got:     now, renew: now.Add(life - ahead), expires: now.Add(life - stsEnd),
	}, nil
}

// stsCode is an error code that is nothing but a word.
func stsCode(code string) string {
	letter := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.'
	}
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, func(c rune) bool { return !letter(c) }) {
		return ""
	}
	return " (" + code + ")"
}
