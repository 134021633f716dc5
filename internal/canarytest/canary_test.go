package canarytest

import (
	"crypto/rand"
	"maps"
	"strings"
	"sync"
)

// canary is one known secret.
type canary struct {
	name, value string
	// core is the part of the value that nothing else has in it, and that is looked
	// for.
	core string
	// own: a caller's own, which may come back to it, and be in no log.
	own bool
}

// aviary has all canaries. Safe for concurrent use: servers hatch some.
type aviary struct {
	mu  sync.Mutex
	all map[string]canary // by name
}

func newAviary() *aviary { return &aviary{all: map[string]canary{}} }

// awkward is in the middle of each core: what escapers escape, and what gives
// base64 its `+` and `/` however it lies.
const awkward = "?>~?>~"

// core makes one. Its halves are longer than what the search looks for at once, so
// that one that is escaped shows too.
func core() string {
	text := rand.Text() + strings.ToLower(rand.Text())
	return text[:18] + awkward + text[26:44]
}

// hatch makes a canary and gives its value.
func (a *aviary) hatch(name string) string { return a.add(name, "cnry-"+name+"-", core(), "") }

// add is hatch for a value with something around its core.
func (a *aviary) add(name, before, core, behind string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	value := before + core + behind
	a.all[name] = canary{name: name, value: value, core: core}
	return value
}

// letOut makes the canary a caller's own.
func (a *aviary) letOut(names ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		c := a.all[name]
		c.own = true
		a.all[name] = c
	}
}

// list gives those there are by now.
func (a *aviary) list() map[string]canary {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.all)
}

// within gives the first place of a core in text, and its length; -1: none is.
func (a *aviary) within(text string) (at, size int) {
	at = -1
	for _, c := range a.list() {
		if i := strings.Index(text, c.core); i >= 0 && (at < 0 || i < at) {
			at, size = i, len(c.core)
		}
	}
	return at, size
}
