package secret

import (
	"fmt"
	"time"
)

// entry is the secret at one path, with all its keys: what is read at once was
// written at once, such as a name and its password.
type entry struct {
	path string
	used time.Time
	document
	// read is when the document was.
	read   time.Time
	due    time.Time     // when it is to be read again
	flight chan struct{} // closed when it was read; nil: it is not being read
	wait   pause         // err is why the last reading failed, nil: it did not
	slots  map[slotKey]*slot
	// forced is when a login was had because the token was refused here. It belongs to
	// the flight.
	forced time.Time
}

// forgotten says that nobody uses it any more.
func (e *entry) forgotten(now time.Time) bool {
	if e.version == 0 {
		return now.Sub(e.used) > hopeless
	}
	return now.Sub(e.used) > unused
}

// document is one version of a secret; version 0: none.
type document struct {
	version uint64
	fields  map[string]field
}

// field is what one key has; bad: it is no text.
type field struct {
	value Value
	bad   error
}

// slotKey is what is asked for of a document, and whether it may have several lines.
type slotKey struct {
	key string
	pem bool
}

// slot is the newest usable value of a key. What is written wrongly is an error only
// after a while, as with files.
type slot struct {
	last Value
	// read is when the document was that had last, and used when somebody asked for it.
	read, used time.Time
	bad        error // of the document as it is now; nil: last is what it has
	since      time.Time
}

func (s *slot) value(now time.Time, keep time.Duration) (Value, error) {
	if s.bad != nil && (s.last.IsZero() || now.Sub(s.since) >= keep) {
		return Value{}, s.bad
	}
	return s.last, nil
}

// slot is what key has in e. v.mu is held.
func (v *vault) slot(e *entry, key slotKey, now time.Time) *slot {
	if e.slots[key] == nil {
		e.slots[key] = &slot{}
		v.judge(e, key, now)
	}
	return e.slots[key]
}

// judgeAll takes what all keys that are in use have in e's document; nil: all can be
// used. v.mu is held.
func (v *vault) judgeAll(e *entry, now time.Time) (bad error) {
	for key, s := range e.slots {
		if now.Sub(s.used) > unused {
			delete(e.slots, key)
			continue
		}
		if v.judge(e, key, now); s.bad != nil {
			bad = s.bad
		}
	}
	return bad
}

// judge takes what key has in e's document, if that can be used. v.mu is held.
func (v *vault) judge(e *entry, key slotKey, now time.Time) {
	s := e.slots[key]
	value, err := e.document.get(key)
	if err == nil {
		*s = slot{last: value, read: e.read, used: s.used}
		return
	}
	if s.bad == nil {
		s.since = now
		v.log.Error("a secret cannot be used; what it was before stays in use for a while, if anything", "path", e.path, "key", key.key, "error", err.Error())
	}
	s.bad = err
	if soon := now.Add(lastPause); soon.Before(e.due) {
		e.due = soon // somebody may be about to repair it
		v.soon()
	}
}

func (d document) get(key slotKey) (Value, error) {
	f, ok := d.fields[key.key]
	if !ok {
		return Value{}, fmt.Errorf("version %d of the secret has no such key", d.version)
	}
	if f.bad != nil {
		return Value{}, f.bad
	}
	text := trim([]byte(f.value.Reveal()))
	return NewValue(string(text)), usable(text, key.pem)
}
