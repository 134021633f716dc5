package auth

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// maxTokenAnswer is the largest answer of a token endpoint, in bytes.
	maxTokenAnswer = 256 << 10
	// maxAccessToken is the longest token, in bytes.
	maxAccessToken = 16 << 10
)

// tokenAnswer is what a token endpoint gives (RFC 6749 section 5.1).
type tokenAnswer struct {
	access  string
	refresh string        // empty: none
	life    time.Duration // 0: it does not say
}

// parseTokenAnswer reads one. Its errors quote nothing. Names are compared exactly,
// which encoding/json does for maps alone.
func parseTokenAnswer(body []byte) (a tokenAnswer, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return a, errors.New("it is no JSON object")
	}
	kind, err := jsonText(members["token_type"])
	switch {
	case err != nil:
		return a, errors.New("token_type is no text")
	case kind != "" && !strings.EqualFold(kind, "Bearer"):
		return a, errors.New("its token_type is not Bearer")
	}
	if a.access, err = jsonText(members["access_token"]); err != nil || !sendable(a.access) {
		return tokenAnswer{}, errors.New("access_token is missing, too long or not made of visible ASCII characters")
	}
	if a.refresh, err = jsonText(members["refresh_token"]); err != nil || a.refresh != "" && !sendable(a.refresh) {
		return tokenAnswer{}, errors.New("refresh_token is too long or not made of visible ASCII characters")
	}
	if a.life, err = expiresIn(members["expires_in"]); err != nil {
		return tokenAnswer{}, err
	}
	return a, nil
}

// jsonText reads a string; one that is null or not there is empty.
func jsonText(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 {
		return "", nil
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

// sendable says that a token is not empty and ends no header field early.
func sendable(token string) bool {
	for i := 0; i < len(token); i++ {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return false
		}
	}
	return token != "" && len(token) <= maxAccessToken
}

// expiresIn reads expires_in, a number or, as some servers have it, a number in
// quotes. Some write 0 for a token that does not end.
func expiresIn(raw json.RawMessage) (time.Duration, error) {
	written := string(raw)
	if quoted, err := jsonText(raw); err == nil {
		written = quoted
	}
	if written == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(written, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), math.IsNaN(n):
		return 0, errors.New("expires_in is no number")
	case n < 0:
		return 0, errors.New("the token has expired already (expires_in)")
	}
	return time.Duration(min(n, longestLife.Seconds()) * float64(time.Second)), nil
}

// codePattern is how error codes are written (RFC 6749 section 5.2, and the registry
// of OAuth extensions' errors). Whatever else stands there may be anything, a secret
// included.
var codePattern = regexp.MustCompile(`^[a-z]+(_[a-z]+){0,6}$`)

// errorCode is the error code in an answer; empty: there is none that may be shown.
func errorCode(body []byte) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return ""
	}
	code, err := jsonText(members["error"])
	if err != nil || len(code) > 40 || !codePattern.MatchString(code) {
		return ""
	}
	return code
}

// refusedBy makes a noToken of an answer that has none.
func refusedBy(status int, code string, after time.Duration) *noToken {
	n := &noToken{status: status, code: code, after: after}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		n.refused = status < 500 && (status >= 400 || code != "")
	}
	switch {
	case code != "":
		n.what = "the authorization server refused it a token (" + code + ")"
	default:
		n.what = "the authorization server answered " + strconv.Itoa(status) + " in place of a token"
	}
	n.cause = codeHint(code)
	return n
}

// codeHint is what the log says of an error code beside it.
func codeHint(code string) error {
	switch code {
	case "invalid_client":
		return errors.New("check client_id, the client's secret, key or certificate, and client_auth")
	case "invalid_grant":
		return errors.New("what was to be turned into a token (refresh token, assertion, subject token) is no longer good, or not this client's, or a clock is wrong")
	case "unauthorized_client", "unsupported_grant_type":
		return errors.New("the server does not let this client use this grant")
	case "invalid_scope":
		return errors.New("check scopes")
	case "invalid_target":
		return errors.New("check audience and resource")
	}
	return nil
}
