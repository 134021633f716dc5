package server

import (
	"fmt"
	"testing"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// TestFairQueueShares: what is taken and never done, as by hosts that hang, stays
// within its share; what is done at once goes through.
func TestFairQueueShares(t *testing.T) {
	snapshot, err := policy.Parse("test", []byte(`
upstreams:
  - {name: slow, hosts: ["*.slow.example"]}
  - {name: fast, hosts: [fast.example]}
`), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var requests []*fetchsvcv1.FetchRequest
	for i := range 40 { // two slow hosts first, then a fast one, then nonsense
		url := fmt.Sprintf("https://%c.slow.example/", 'a'+i%2)
		if i >= 20 {
			url = "https://fast.example/"
		}
		if i == 39 {
			url = "nonsense"
		}
		requests = append(requests, &fetchsvcv1.FetchRequest{Url: url})
	}
	q := newFairQueue(requests, snapshot)
	const concurrency = 9
	hanging, answered := map[string]int{}, 0
	for inFlight := 0; inFlight < concurrency; {
		if answered == 20 {
			break // every one that can be answered was: the hanging ones held nothing up
		}
		i, ok := q.take(concurrency)
		if !ok {
			t.Fatalf("the queue ended with %d answered", answered)
		}
		if i < 20 {
			hanging[requests[i].GetUrl()]++
			if inFlight++; inFlight > concurrency/2 && answered < 20 {
				t.Fatalf("%d slow items are in flight while another upstream has work, want %d of %d at most", inFlight, concurrency/2, concurrency)
			}
			continue
		}
		answered++
		q.done(i)
	}
	if answered != 20 {
		t.Errorf("%d fast items were answered, want all 20; hanging: %v", answered, hanging)
	}
	for url, n := range hanging {
		if n > concurrency/2 {
			t.Errorf("%s holds %d of %d places", url, n, concurrency)
		}
	}
	// With the others gone, the slow hosts get everything.
	for len(q.lanes[0].waiting)+len(q.lanes[1].waiting) > 0 && hanging["https://a.slow.example/"]+hanging["https://b.slow.example/"] < concurrency-1 {
		i, ok := q.take(concurrency)
		if !ok {
			break
		}
		hanging[requests[i].GetUrl()]++
	}
	if n := hanging["https://a.slow.example/"] + hanging["https://b.slow.example/"]; n < concurrency-1 {
		t.Errorf("alone, the slow hosts get %d places of %d", n, concurrency)
	}
	q.close()
	if _, ok := q.take(concurrency); ok {
		t.Error("a closed queue hands out items")
	}
}
