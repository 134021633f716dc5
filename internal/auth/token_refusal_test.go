package auth

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestRefusal: what an answer says of the token that was sent.
func TestRefusal(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header []string
		again  bool
	}{
		{name: "200", status: 200},
		{name: "401", status: 401, again: true},
		{name: "401 of another scheme", status: 401, header: []string{"WWW-Authenticate: Basic"}, again: true},
		{name: "403", status: 403},
		{name: "403 insufficient_scope", status: 403, header: []string{`WWW-Authenticate: Bearer realm="a, b", error="insufficient_scope"`}},
		{name: "403 invalid_token", status: 403, header: []string{`WWW-Authenticate: Bearer realm="a, b", error="invalid_token"`}, again: true},
		{name: "400 invalid_token", status: 400, header: []string{`WWW-Authenticate: bearer error=invalid_token`}, again: true},
		{name: "400 invalid_token of several", status: 400, header: []string{`WWW-Authenticate: Basic realm="x"`, `WWW-Authenticate: Negotiate, Bearer error="invalid_token"`}, again: true},
		{name: "400 invalid_token of another scheme", status: 400, header: []string{`WWW-Authenticate: Basic error="invalid_token"`}},
		{name: "400 invalid_token within a text", status: 400, header: []string{`WWW-Authenticate: Bearer realm="error=\"invalid_token\""`}},
		{name: "500 invalid_token", status: 500, header: []string{`WWW-Authenticate: Bearer error="invalid_token"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &issuing{}
			c := oauthCredential(t, server, plainClient)
			o := c.want("token-1")
			v := c.Answered(t.Context(), o, answered(tt.status, "", tt.header...))
			if v.Again != tt.again {
				t.Errorf("got %+v, want again=%v", v, tt.again)
			}
			next := "token-1"
			if tt.again {
				next = "token-2"
			}
			c.want(next)
		})
	}
}

// TestRefusalIsOfOneToken: a late answer says nothing of the token that has come
// since.
func TestRefusalIsOfOneToken(t *testing.T) {
	server := &issuing{}
	c := oauthCredential(t, server, plainClient)
	one, two := c.want("token-1"), c.want("token-1")
	c.Answered(t.Context(), one, &http.Response{StatusCode: 401})
	c.want("token-2")
	if v := c.Answered(t.Context(), two, &http.Response{StatusCode: 401}); !v.Again {
		t.Error("the request is not sent again, though there is a newer token")
	}
	c.want("token-2")
}

// TestEveryTokenIsRefused: an upstream that answers 401 to all costs few token
// requests, fewer as it goes on.
func TestEveryTokenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &issuing{}
		c := oauthCredential(t, server, plainClient)
		again := 0
		refused := func() {
			t.Helper()
			o, _, err := c.call(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if c.Answered(t.Context(), o, &http.Response{StatusCode: 401}).Again {
				again++
			}
		}
		for range 10_000 {
			refused()
		}
		if server.count() != 2 || again != 1 {
			t.Errorf("10,000 refusals at once made for %d token requests and %d calls sent again, want 2 and 1", server.count(), again)
		}
		for range 3600 {
			time.Sleep(time.Second)
			refused()
		}
		if n := server.count(); n < 10 || n > 20 {
			t.Errorf("an hour of refusals made for %d token requests, want one for each hold of 10 s to 5 min", n)
		}
		time.Sleep(2 * mostHold) // then it takes tokens again, till one is revoked
		n := server.count()
		refused()
		refused()
		if server.count() != n+1 {
			t.Errorf("%d token requests for a revoked token, want 1", server.count()-n)
		}
	})
}

// TestRefusalWhileNoTokenIsHad: there is no point in another request then. Where the
// server is in trouble the token stays, for what one call was refused may be its URL;
// where the server says no, it goes.
func TestRefusalWhileNoTokenIsHad(t *testing.T) {
	for status, stays := range map[int]bool{500: true, 400: false} {
		server := &issuing{answer: func(n int, _ asked) (*http.Response, error) {
			if n == 1 {
				return issued(n, 3600), nil
			}
			return answered(status, `{"error":"invalid_client"}`), nil
		}}
		c := oauthCredential(t, server, plainClient)
		one, two := c.want("token-1"), c.want("token-1")
		if !c.Answered(t.Context(), one, &http.Response{StatusCode: 401}).Again {
			t.Errorf("%d: the first refusal is not answered by another token", status)
		}
		if stays {
			c.want("token-1")
		} else {
			c.fails("invalid_client")
		}
		if c.Answered(t.Context(), two, &http.Response{StatusCode: 401}).Again {
			t.Errorf("%d: a request is to be sent again, and there is no token for it", status)
		}
		if stays {
			c.want("token-1")
		}
		if n := server.count(); n != 2 {
			t.Errorf("%d: %d token requests, want 2", status, n)
		}
	}
}
