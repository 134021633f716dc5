package auth

import (
	"container/list"
	"crypto/sha256"
	"sync"

	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// maxSubjects is for how many subjects tokens are kept, those used last.
const maxSubjects = 10_000

// subjects are the tokens of a credential that is exchanged for callers' own tokens:
// one for each. Safe for concurrent use.
type subjects struct {
	of *oauth2

	mu    sync.Mutex
	known map[[sha256.Size]byte]*list.Element
	order list.List // of *subject, the one used last first
}

// subject is the digest of a caller's token, and what it was exchanged for.
type subject struct {
	sum  [sha256.Size]byte
	life *tokenLife
}

func newSubjects(a *oauth2) *subjects {
	return &subjects{of: a, known: map[[sha256.Size]byte]*list.Element{}}
}

// lifeOf gives the tokens of a subject.
func (s *subjects) lifeOf(token secret.Value) *tokenLife {
	sum := sha256.Sum256([]byte(token.Reveal()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.known[sum]; e != nil {
		s.order.MoveToFront(e)
		return e.Value.(*subject).life
	}
	if s.order.Len() >= maxSubjects {
		oldest := s.order.Remove(s.order.Back()).(*subject)
		delete(s.known, oldest.sum)
	}
	life := &tokenLife{of: s.of}
	s.known[sum] = s.order.PushFront(&subject{sum, life})
	return life
}
