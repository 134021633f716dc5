package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer is the largest answer of a vault, in bytes.
const maxAnswer = 1 << 20

// answer is what a vault said. Nothing of its text goes into errors: some of its
// messages repeat what they complain about.
type answer struct {
	status int
	body   []byte
}

// read gives the newest version of e.
func (v *vault) read(ctx context.Context, e *entry) (document, error) {
	select {
	case v.reading <- struct{}{}:
		defer func() { <-v.reading }()
	case <-ctx.Done():
		return document{}, v.unreached(ctx, ctx.Err())
	}
	s, err := v.enter(ctx)
	if err != nil {
		return document{}, err
	}
	at := v.cfg.Mount + "/data/" + e.path
	a, err := v.call(ctx, http.MethodGet, at, s.token, nil)
	if err == nil && a.status == http.StatusForbidden {
		// The token may have been revoked: that looks the same.
		s, err = v.another(ctx, s, e)
		if s != nil {
			a, err = v.call(ctx, http.MethodGet, at, s.token, nil)
		}
		if err != nil || a.status != http.StatusForbidden {
			e.forced = time.Time{} // the secret is not to blame
		}
	}
	switch {
	case err != nil:
		return document{}, err
	case a.status == http.StatusForbidden:
		return document{}, fmt.Errorf("vault %q forbids reading %s (403): the token has ended, or no policy of it lets it read there", v.cfg.Name, at)
	case a.status == http.StatusNotFound:
		return document{}, v.missing(a)
	case a.status != http.StatusOK:
		return document{}, v.refusal(a)
	}
	d, err := a.document()
	if err != nil {
		return document{}, fmt.Errorf("vault %q answered in an unknown form: %w", v.cfg.Name, err)
	}
	return d, nil
}

// call sends one request. A server that does not serve is not asked for a while.
func (v *vault) call(ctx context.Context, method, path string, token Value, body any) (answer, error) {
	begun := time.Now()
	v.mu.Lock()
	transport, err := v.transport, v.down.holds(begun)
	v.mu.Unlock()
	switch {
	case err != nil:
		return answer{}, err
	case transport == nil:
		return answer{}, fmt.Errorf("this process has no way to vault %q", v.cfg.Name)
	}
	req, err := v.request(ctx, method, path, token, body)
	if err != nil {
		return answer{}, err
	}
	a, err := exchange(transport, req)
	switch {
	case err != nil:
		err = v.unreached(ctx, err)
	case unserving(a.status):
		err = v.refusal(a)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.down.failed(begun, time.Now(), err)
		return answer{}, err
	}
	v.down = pause{}
	return a, nil
}

func (v *vault) request(ctx context.Context, method, path string, token Value, body any) (*http.Request, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	req, err := http.NewRequestWithContext(ctx, method, v.cfg.Address+"/v1/"+strings.Join(segments, "/"), content)
	if err != nil {
		return nil, fmt.Errorf("vault %q: its address is no URL", v.cfg.Name)
	}
	req.Header.Set("Accept-Encoding", "identity") // nobody need guess where a bound stands
	req.Header.Set("X-Vault-Request", "true")     // a Vault Agent may insist on it, against SSRF
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if v.cfg.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", v.cfg.Namespace)
	}
	if !token.IsZero() {
		req.Header.Set("X-Vault-Token", token.Reveal())
	}
	return req, nil
}

func exchange(transport http.RoundTripper, req *http.Request) (answer, error) {
	res, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("its answer is larger than %d bytes", maxAnswer)
	}
	return answer{res.StatusCode, body}, err
}

// unreached is why there was no answer.
func (v *vault) unreached(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("vault %q has not answered within %s", v.cfg.Name, patience)
	}
	return fmt.Errorf("vault %q cannot be reached: %w", v.cfg.Name, err)
}

// unserving says that status is about the server, not the request.
// https://developer.hashicorp.com/vault/api-docs#http-status-codes
// https://developer.hashicorp.com/vault/api-docs/system/health
func unserving(status int) bool {
	switch status {
	case 429, 472, 473, 474, 501, 502, 503, 504, 530:
		return true
	}
	return status/100 == 3
}

// refusal is what a status means that is not 200.
func (v *vault) refusal(a answer) error {
	why := "which fetchsvc does not expect there"
	switch {
	case a.status == 400:
		why = "the request is wrong for it: check mount and namespace"
	case a.status == 403:
		why = "permission denied: the token has ended, or its policies do not allow it"
	case a.status == 404:
		why = "there is nothing: check mount and namespace"
	case a.status == 412:
		why = "it has not caught up with its cluster yet"
	case a.status == 429:
		why = "it is a standby that serves nobody, or it was asked too often"
	case a.status == 472, a.status == 473, a.status == 474:
		why = "it is a standby that serves nobody; name the active server, or a load balancer before it"
	case a.status == 501:
		why = "it was not initialised"
	case a.status == 503:
		why = "it is sealed, or down for maintenance"
	case a.status == 530:
		why = "it was removed from its cluster"
	case a.status/100 == 3:
		why = "it sends elsewhere, which is not followed: it may be a standby; name the active server, or a load balancer before it"
	case a.status/100 == 5:
		why = "it is in trouble; its own log says why"
	}
	return fmt.Errorf("vault %q answered %d: %s", v.cfg.Name, a.status, why)
}
