package auth

import (
	"strings"
	"testing"
	"time"
)

func TestTokenAnswers(t *testing.T) {
	tests := []struct {
		name, body string
		want       tokenAnswer
		says       string // of the error
	}{
		{name: "RFC 6749 section 5.1", body: `{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600}`, says: "token_type"},
		{name: "Bearer", body: `{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r","example_parameter":{}}`, want: tokenAnswer{"a", "r", time.Hour}},
		{name: "bearer", body: ` {"access_token":"a","token_type":"bearer"} `, want: tokenAnswer{access: "a"}},
		{name: "no type", body: `{"access_token":"a"}`, want: tokenAnswer{access: "a"}},
		{name: "nulls", body: `{"access_token":"a","token_type":null,"expires_in":null,"refresh_token":null}`, want: tokenAnswer{access: "a"}},
		{name: "mac", body: `{"access_token":"a","token_type":"mac"}`, says: "token_type"},
		{name: "N_A", body: `{"access_token":"a","token_type":"N_A"}`, says: "token_type"},
		{name: "a type that is no text", body: `{"access_token":"a","token_type":1}`, says: "token_type"},
		{name: "life in quotes", body: `{"access_token":"a","expires_in":"3600"}`, want: tokenAnswer{access: "a", life: time.Hour}},
		{name: "life with a fraction", body: `{"access_token":"a","expires_in":1.5}`, want: tokenAnswer{access: "a", life: 1500 * time.Millisecond}},
		{name: "life in powers", body: `{"access_token":"a","expires_in":3.6e3}`, want: tokenAnswer{access: "a", life: time.Hour}},
		{name: "life of 0", body: `{"access_token":"a","expires_in":0}`, want: tokenAnswer{access: "a"}},
		{name: "life beyond measure", body: `{"access_token":"a","expires_in":1e300}`, want: tokenAnswer{access: "a", life: longestLife}},
		{name: "life beyond numbers", body: `{"access_token":"a","expires_in":1e999}`, want: tokenAnswer{access: "a", life: longestLife}},
		{name: "life of a century", body: `{"access_token":"a","expires_in":3153600000}`, want: tokenAnswer{access: "a", life: longestLife}},
		{name: "life below 0", body: `{"access_token":"a","expires_in":-1}`, says: "expired"},
		{name: "life below numbers", body: `{"access_token":"a","expires_in":-1e999}`, says: "expired"},
		{name: "life that is none", body: `{"access_token":"a","expires_in":"NaN"}`, says: "no number"},
		{name: "life in words", body: `{"access_token":"a","expires_in":"an hour"}`, says: "no number"},
		{name: "life that is a list", body: `{"access_token":"a","expires_in":[1]}`, says: "no number"},
		{name: "another case", body: `{"Access_Token":"a"}`, says: "access_token"},
		{name: "empty token", body: `{"access_token":""}`, says: "access_token"},
		{name: "token that is a number", body: `{"access_token":1}`, says: "access_token"},
		{name: "token with a space", body: `{"access_token":"a b"}`, says: "access_token"},
		{name: "token with a line break", body: `{"access_token":"a\nb"}`, says: "access_token"},
		{name: "token in Unicode", body: `{"access_token":"ä"}`, says: "access_token"},
		{name: "token at its longest", body: `{"access_token":"` + strings.Repeat("a", maxAccessToken) + `"}`, want: tokenAnswer{access: strings.Repeat("a", maxAccessToken)}},
		{name: "token beyond", body: `{"access_token":"` + strings.Repeat("a", maxAccessToken+1) + `"}`, says: "access_token"},
		{name: "refresh token with a tab", body: `{"access_token":"a","refresh_token":"\t"}`, says: "refresh_token"},
		{name: "refresh token that is empty", body: `{"access_token":"a","refresh_token":""}`, want: tokenAnswer{access: "a"}},
		{name: "a form", body: `access_token=a&token_type=bearer`, says: "JSON"},
		{name: "a list", body: `[]`, says: "JSON"},
		{name: "null", body: `null`, says: "JSON"},
		{name: "two", body: `{"access_token":"a"}{}`, says: "JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseTokenAnswer([]byte(tt.body))
			if tt.says == "" && (err != nil || got != tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %+v, %v, want an error with %q", got, err, tt.says)
			}
		})
	}
}

func TestErrorCodes(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"invalid_client"}`:                      "invalid_client",
		`{"error":"temporarily_unavailable"}`:             "temporarily_unavailable",
		`{"error":"Invalid Client"}`:                      "",
		`{"error":"c4n4ry"}`:                              "",
		`{"error":"` + strings.Repeat("canary", 7) + `"}`: "",
		`{"error":["invalid_client"]}`:                    "",
		`{"error":null}`:                                  "",
		`{"Error":"invalid_client"}`:                      "",
		`error=invalid_client`:                            "",
	} {
		if got := errorCode([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// FuzzTokenAnswer: whatever a server sends, a token that is taken can be sent and
// has a life within bounds, and an error quotes nothing.
func FuzzTokenAnswer(f *testing.F) {
	f.Add(`{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r"}`)
	f.Add(`{"access_token":"a","expires_in":"1e4"}`)
	f.Add(`{"error":"invalid_client","error_description":"x"}`)
	f.Add(`{"access_token":"a\u0000","expires_in":-1}`)
	f.Add(`<html>`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseTokenAnswer([]byte(body))
		if err == nil && (!sendable(got.access) || got.life < 0 || got.life > longestLife || got.refresh != "" && !sendable(got.refresh)) {
			t.Errorf("%q: took %+v", body, got)
		}
		if code := errorCode([]byte(body)); len(code) > 40 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%q: the error code is %q", body, code)
		}
		if err == nil {
			now := time.Now()
			if tok := newToken(got.access, now, max(got.life, time.Nanosecond)); tok.due.Before(now) || tok.expires.Before(tok.due) {
				t.Errorf("%q: due at %v, ends at %v, asked for at %v", body, tok.due, tok.expires, now)
			}
		}
	})
}
