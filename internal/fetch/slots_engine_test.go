package fetch

import (
	"io"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/testpeer"
)

// broken is a body whose maker has a defect.
type broken struct{ Bytes }

func (broken) Open() io.ReadCloser { panic("a defect") }

// TestAPanicGivesItsPlaceBack: the handlers survive a panic, so a place must too.
func TestAPanicGivesItsPlaceBack(t *testing.T) {
	srv := testpeer.Raw(t, testpeer.Status("200"))
	e := newEngine(t, local+"    limits: {concurrent: 1, queue: 0}\n")
	req := request(t, "POST", srv.URL+"/")
	req.Body = broken{Bytes("x")}
	func() {
		defer func() { _ = recover() }()
		_, _ = e.Do(t.Context(), req)
		t.Error("no panic")
	}()
	if _, err := e.Do(t.Context(), request(t, "GET", srv.URL+"/")); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestALiftedLimitLetsInWhoWaits: a reload that takes the limit away is not only
// about calls that come later.
func TestALiftedLimitLetsInWhoWaits(t *testing.T) {
	e := newEngine(t, local+"    limits: {concurrent: 1, queue: 1}\n")
	s := e.slots.by["local"]
	hold(t, s, 1)
	got := make(chan error, 1)
	go func() {
		_, err := s.acquire(t.Context(), "a", time.Hour)
		got <- err
	}()
	for _, waiting := s.load(); waiting == 0; _, waiting = s.load() {
		time.Sleep(time.Millisecond)
	}
	free, err := policy.Parse("test", []byte(local), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.Use(free)
	if err := <-got; err != nil {
		t.Errorf("who waited: %v", err)
	}
}
