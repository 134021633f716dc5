package contract

// credentialCases: the credential goes by destination, replaces what the caller
// sent, is named and never shown, and stays behind when the call moves on.
func credentialCases() []testCase {
	const url = `"url":"http://signed.test:{peer.port}/a"`
	const bearer, named = "Authorization: Bearer token-canary", "#1 with credential token"
	own := `,"headers":[{"name":"Authorization","value":"Basic dTpw"}]`
	to302 := func(location string) setup { return to(302, location) }
	in := func(name, fields string, peers setup, w want, s *sent) testCase {
		if w.kind == "" && w.upstream == "" {
			w.upstream = "signed"
		}
		return testCase{name: "credential: " + name, peers: peers, in: "{" + fields + "}", want: w, sent: s}
	}
	two := []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 200"}
	hop := func(from, location, without string) []string {
		return []string{"GET " + from + " 302 -> " + location + without}
	}
	const home, away, signed = "http://signed.test:{peer.port}/a", "http://{other}/b", "http://signed.test:{other.port}/b"
	notGranted := func(name, fields string, says ...string) testCase {
		return in(name, fields, nil, want{kind: "NOT_GRANTED", says: append(says, "credential")}, nil)
	}
	unread := want{kind: "CREDENTIAL_UNAVAILABLE", says: []string{`"lost-token"`, "cannot be read"},
		attempts: []string{"FIRST GET UNSENT CREDENTIAL_UNAVAILABLE"}, notes: []string{"#1 with credential lost-token"}}
	echoed := answers(response(200, "you sent token-canary", "X-Echo: Bearer token-canary"))
	const scrubbed, refused = `"url":"http://scrubbed.test:{peer.port}/a"`, `"url":"http://refused.test:{peer.port}/a"`
	return []testCase{
		in("is in no answer", scrubbed, echoed, want{upstream: "scrubbed", notes: []string{named}, headers: []string{"X-Echo: Bearer ************"},
			content: `bytes "you sent ************"`}, nil),
		in("in the answer is refused", refused, echoed, want{kind: "SECRET_ECHOED", says: []string{`"token"`, "scrub: refuse"},
			attempts: []string{"FIRST GET ANSWERED 200 SECRET_ECHOED"}, notes: []string{named}}, nil),
		in("is the call's choice", scrubbed+`,"credential":"other-token"`, answers(response(200, "other-canary")), want{upstream: "scrubbed",
			notes: []string{"#1 with credential other-token"}, content: `bytes "************"`}, nil),
		in("takes none of the caller's beside it", scrubbed+own, nil, want{kind: "NOT_GRANTED", says: []string{"Authorization", "caller_credentials: deny"}}, nil),
		in("gives way to the caller's own", refused+own, nil, want{upstream: "refused"}, &sent{has: []string{"Authorization: Basic dTpw"}}),
		in("is applied", url, nil, want{notes: []string{named}}, &sent{has: []string{bearer}}),
		in("overwrites what the caller sent", url+own, nil, want{notes: []string{named}}, &sent{has: []string{bearer}}),
		in("is applied to every attempt", url, answers(response(503, ""), response(200, "")), want{attempts: attempted("GET", "503", "200"),
			notes: []string{named, "#2 after 10ms for status 503", "#2 with credential token"}}, &sent{has: []string{bearer}}),
		in("of a route goes before the upstream's", `"url":"http://signed.test:{peer.port}/other/x"`, nil, want{notes: []string{"#1 with credential other-token"}},
			&sent{has: []string{"Authorization: Bearer other-canary"}}),
		in("goes to no host that it is not bound to", `"url":"http://unbound.test:{peer.port}/a"`, nil, want{}, &sent{not: []string{"Authorization"}}),
		in("leaves the caller's own alone where it does not go", `"url":"http://unbound.test:{peer.port}/a"`+own, nil, want{}, &sent{has: []string{"Authorization: Basic dTpw"}}),
		in("stays behind on the way to another upstream", url, to302(away), want{upstream: "open", attempts: two, notes: []string{named},
			history: hop(home, away, "")}, &sent{line: "GET /b HTTP/1.1", not: []string{"Authorization"}}),
		in("stays behind with what the caller sent", url+own, to302(away), want{upstream: "open", attempts: two, notes: []string{named},
			history: hop(home, away, " without Authorization")}, &sent{not: []string{"Authorization"}}),
		in("stays behind on the way to an unbound host", url, to302("http://unbound.test:{other.port}/b"), want{attempts: two, notes: []string{named},
			history: hop(home, "http://unbound.test:{other.port}/b", "")}, &sent{not: []string{"Authorization"}}),
		in("is applied where a redirect leads to it", `"url":"http://{peer}/a"`, to302(signed), want{attempts: two, notes: []string{"#2 with credential token"},
			history: hop("http://{peer}/a", signed, "")}, &sent{has: []string{bearer}}),
		in("is applied anew on the next hop", url, to302("http://signed.test:{other.port}/other/b"), want{attempts: two,
			notes:   []string{named, "#2 with credential other-token"},
			history: hop(home, "http://signed.test:{other.port}/other/b", "")}, &sent{has: []string{"Authorization: Bearer other-canary"}}),
		in("may be named by the call", url+`,"credential":"token"`, nil, want{notes: []string{named}}, &sent{has: []string{bearer}}),
		notGranted("of another route is refused", url+`,"credential":"other-token"`, "signed", "other-token"),
		notGranted("that nobody knows is refused", url+`,"credential":"tokens"`, "signed"),
		notGranted("where the upstream has none is refused", `"url":"http://{peer}/a","credential":"token"`, "open"),
		in("that cannot be read ends the call", `"url":"http://unsigned.test:{peer.port}/a"`, nil, unread, nil).untouched(),
		in("that cannot be read is not left out for the caller's own", `"url":"http://unsigned.test:{peer.port}/a"`+own, nil, unread, nil).untouched(),
	}
}

// untouched makes the case hold that the upstream got nothing.
func (c testCase) untouched() testCase {
	c.also = func(ps peers) []string {
		if n := len(ps["peer"].raw.Requests()); n > 0 {
			return []string{"the upstream got a request all the same"}
		}
		return nil
	}
	return c
}
