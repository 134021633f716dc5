package contract

import "github.com/fetchsvc/fetchsvc/internal/testpeer"

// moveCases: redirects as policy has them, and what a call may ask for.
func moveCases() []testCase {
	const there = "http://{other}/b"
	two := []string{"FIRST GET ANSWERED 302", "hop 1 FIRST GET ANSWERED 200"}
	stays := func(upstream string) want {
		return want{status: 302, stopped: "mode", content: `bytes ""`, upstream: upstream}
	}
	from := func(name, host, fields string, peers setup, w want) testCase {
		return testCase{name: "moves: " + name, peers: peers, in: `{"url":"http://` + host + `.test:{peer.port}/a"` + fields + `}`, want: w}
	}
	goes := func(host, location, upstream, without string) want {
		return want{history: []string{"GET http://" + host + ".test:{peer.port}/a 302 -> " + location + without}, attempts: two, upstream: upstream}
	}
	over := func(name, host, wish, field string, says ...string) testCase {
		return from(name, host, `,"redirects":{`+wish+`}`, nil, want{kind: "INVALID_REQUEST", fields: []string{field}, says: says})
	}
	chain := func(n int) setup { return raw(testpeer.RedirectChain(302, n)) }
	tooMany := func(host string, n int) want {
		w := want{kind: "TOO_MANY_REDIRECTS", attempts: []string{"FIRST GET ANSWERED 302"}}
		for i := range n {
			w.attempts = append(w.attempts, "hop "+string(rune('1'+i))+" FIRST GET ANSWERED 302")
			at := "/a"
			if i > 0 {
				at = "/hop/" + string(rune('0'+i))
			}
			w.history = append(w.history, "GET http://"+host+".test:{peer.port}"+at+" 302 -> /hop/"+string(rune('1'+i)))
		}
		return w
	}
	const carried = `,"headers":[{"name":"X-Trace","value":"t"},{"name":"X-Api-Key","value":"k"},{"name":"X-Own","value":"o"}]`
	kept := from("headers that policy keeps", "kin", carried, to(302, "http://cousin.test:{other.port}/b"),
		goes("kin", "http://cousin.test:{other.port}/b", "kin", " without X-Own"))
	kept.sent = &sent{has: []string{"X-Api-Key: k", "X-Trace: t"}, not: []string{"X-Own"}}
	dropped := from("headers that no policy keeps", "roams", carried, to(302, there), goes("roams", there, "open", " without X-Api-Key, X-Own, X-Trace"))
	dropped.sent = &sent{not: []string{"X-Api-Key", "X-Trace", "X-Own"}}
	return []testCase{
		from("none hands the 3xx over", "stays", "", to(302, "/b"), stays("stays")),
		over("none is the ceiling too", "stays", `"mode":"SAME_ORIGIN"`, "redirects.mode", "none", `"stays"`),
		from("same_origin goes to another path", "homely", "", chain(1), want{upstream: "homely",
			history: []string{"GET http://homely.test:{peer.port}/a 302 -> /hop/1"}, attempts: two}),
		from("same_origin stops at another port", "homely", "", to(302, "http://homely.test:{other.port}/b"), stays("homely")),
		from("same_origin stops at another upstream", "homely", "", to(302, there), stays("homely")),
		from("a wish up to the ceiling", "homely", `,"redirects":{"mode":"SAME_UPSTREAM"}`, to(302, "http://homely.test:{other.port}/b"),
			goes("homely", "http://homely.test:{other.port}/b", "homely", "")),
		over("a wish over the ceiling", "homely", `"mode":"ANY"`, "redirects.mode", "any", "same_upstream", `"homely"`),
		from("a wish for less", "homely", `,"redirects":{"mode":"NONE"}`, chain(1), stays("homely")).reads(`bytes "next\n"`),
		from("same_upstream goes to another host of it", "kin", "", to(302, "http://cousin.test:{other.port}/b"),
			goes("kin", "http://cousin.test:{other.port}/b", "kin", "")),
		from("same_upstream stops at another upstream", "kin", "", to(302, there), stays("kin")),
		from("any goes to another upstream", "roams", "", to(302, there), goes("roams", there, "open", "")),
		from("limit of the policy", "homely", "", chain(3), tooMany("homely", 2)),
		from("limit by leave", "homely", `,"redirects":{"max":3}`, chain(4), tooMany("homely", 3)),
		over("limit over the ceiling", "homely", `"max":4`, "redirects.max", "3", `"homely"`),
		from("limit over the default where no ceiling is set", "roams", `,"redirects":{"max":2}`, nil, want{kind: "INVALID_REQUEST", fields: []string{"redirects.max"}, says: []string{"bound of 1"}}),
		over("both at once", "stays", `"mode":"ANY","max":50`, "", "none").named("redirects.mode"),
		kept, dropped,
	}
}

// reads makes the case expect content.
func (c testCase) reads(content string) testCase { c.want.content = content; return c }

// named makes the case expect violations of these fields.
func (c testCase) named(fields ...string) testCase { c.want.fields = fields; return c }
