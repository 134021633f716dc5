package fetch

import (
	"io"
	"testing"
)

// defective is a body that is a defect of ours.
type defective struct{}

func (defective) Open() io.ReadCloser { panic("a defect") }
func (defective) Replayable() bool    { return true }
func (defective) Size() int64         { return 5 }

// TestUsageOfDefects: what a panic ends is under way no more.
func TestUsageOfDefects(t *testing.T) {
	e, _ := staged(t, busy("", ""), answer(200))
	for name, do := range map[string]func(*Request){
		"whole":  func(r *Request) { _, _ = e.Do(t.Context(), r) },
		"stream": func(r *Request) { _, _, _ = e.Open(t.Context(), r) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: nothing panicked", name)
				}
			}()
			req := request(t, "POST", "http://a.test/")
			req.Body = defective{}
			do(req)
		}()
		u := e.Usage()[0]
		if u.Calls != 0 || u.Connecting != 0 || u.Held != 0 {
			t.Errorf("%s: after the panic there are %+v", name, u)
		}
		for at, n := range u.Attempts {
			if n != 0 {
				t.Errorf("%s: after the panic there are %d attempts at %v", name, n, at)
			}
		}
	}
}
