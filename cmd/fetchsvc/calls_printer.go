package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
)

const (
	// mostShown bounds what waits for the terminal, in bytes.
	mostShown = 1 << 20
	// lastShown is how long the terminal may take for what waits at the end.
	lastShown = 3 * time.Second
)

// callPrinter prints calls that are over, each in one piece. It never holds one up:
// what the terminal does not take waits, and what there is no room for is counted. Safe
// for concurrent use; make one by newCallPrinter.
type callPrinter struct {
	w       io.Writer
	colours bool
	now     func() time.Time

	mu   sync.Mutex
	text []byte // waits
	left int    // calls that there was no room for, since it was taken last
	owed int    // calls that nobody has seen anything of yet

	wake, over, ended chan struct{}
	begin             func()
}

// newCallPrinter makes one that writes nothing until begin. Close it.
func newCallPrinter(w io.Writer, colours bool) *callPrinter {
	p := &callPrinter{w: w, colours: colours, now: time.Now, wake: make(chan struct{}, 1), over: make(chan struct{}), ended: make(chan struct{})}
	p.begin = sync.OnceFunc(func() { go p.run() })
	return p
}

// inColour says whether what is written to w may have colours (https://no-color.org).
func inColour(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// finished shows a call that the engine made or refused.
func (p *callPrinter) finished(_ context.Context, f *fetch.Finished) {
	colour := green
	switch {
	case f.Err != nil && (f.Err.RefusedBy() != "" || f.Err.Kind == fault.InvalidRequest || f.Err.Kind == fault.Cancelled):
		colour = yellow
	case f.Err != nil || f.Response.Status >= 500:
		colour = red
	case f.Response.Status >= 400:
		colour = yellow
	}
	p.show(callTree(f), colour)
}

// refused shows one that never came to it.
func (p *callPrinter) refused(ctx context.Context, rpc string, why *fault.Error) {
	p.show(refusalTree(ctx, rpc, why), yellow)
}

// show has n written some time.
func (p *callPrinter) show(n node, colour string) {
	n.text = p.now().Format(time.TimeOnly) + " " + n.text
	var out bytes.Buffer
	writeTree(&out, n)
	text := out.Bytes()
	if p.colours {
		text = painted(text, colour)
	}
	p.mu.Lock()
	p.owed++
	if p.left > 0 || len(p.text)+len(text) > mostShown {
		p.left++
	} else {
		p.text = append(p.text, text...)
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // run was told, and has not looked yet
	}
}

// The colours of terminals (ECMA-48 section 8.3.117).
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

// painted gives a tree's head its colour, and makes what hangs below it faint.
func painted(tree []byte, colour string) []byte {
	head, kids, _ := strings.Cut(string(tree), "\n")
	text := colour + head + plain + "\n"
	if kids != "" {
		text += faint + strings.TrimSuffix(kids, "\n") + plain + "\n"
	}
	return []byte(text)
}

// run writes until the printer is closed and nothing waits.
func (p *callPrinter) run() {
	defer close(p.ended)
	for open := true; open; {
		select {
		case <-p.wake:
		case <-p.over:
			open = false
		}
		if text, calls := p.take(); calls > 0 {
			_, _ = p.w.Write(text) // a terminal that is gone is no reason to stop serving
			p.mu.Lock()
			p.owed -= calls
			p.mu.Unlock()
		}
	}
}

// take gives what waits, with a word on what there was no room for, and how many calls
// it tells of.
func (p *callPrinter) take() (text []byte, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text = p.text
	if p.left > 0 {
		text = fmt.Appendf(text, "(not shown, because the terminal was too slow: %d)\n", p.left)
	}
	p.text, p.left = nil, 0
	return text, p.owed
}

// close writes what waits, unless that takes too long, and gives how many calls were
// not told of.
func (p *callPrinter) close() int {
	p.begin()
	close(p.over)
	late := time.NewTimer(lastShown)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owed
}
