package content

import (
	"errors"
	"io"
	"sync"
)

// Limits bound what a decoder gives. They hold for identity too.
type Limits struct {
	// MaxDecoded is how many decoded bytes may come out; it must be set.
	MaxDecoded int64
	// MaxRatio is how many decoded bytes one coded byte may turn into, looked
	// at once more than 1 MiB has come out: small bodies of one repeated byte
	// are common and harmless. 0 sets no limit.
	MaxRatio int64
	// AllowTruncated makes [Decode] give the first MaxDecoded bytes of a body
	// that is longer, instead of an error. [NewDecoder] takes no notice of it.
	AllowTruncated bool
}

var errClosed = errors.New("content: read of a closed decoder")

// NewDecoder gives the decoded bytes of r, whose coding is one that [CodingOf]
// knows, or "" or "identity". Nothing is read before the first Read, and a Read
// gives what a flush of the upstream has made decodable before it waits for
// more. An empty r decodes to nothing in every coding.
//
// Read fails with
//   - a ResponseTooLarge fault once there is more than lim.MaxDecoded, after
//     having given that much;
//   - a BadContentCoding fault if the coding is corrupt, cut short, swells
//     beyond lim.MaxRatio or, for zstd, asks for a window of more than 8 MiB;
//   - the error of r itself, unchanged, whatever it did to the coding: a
//     connection that breaks is no bad coding.
//
// Close must be called; it frees the decoder's state and leaves r open. Close
// may be called again, and while a Read is under way, which is then what frees
// the state. Otherwise a decoder is for one goroutine at a time.
func NewDecoder(coding string, r io.Reader, lim Limits) (io.ReadCloser, error) {
	p, err := openPipe(coding, lim)
	if err != nil {
		return nil, err
	}
	p.feed(r)
	return &decoder{pipe: p}, nil
}

// decoder lends a pooled pipe to one body. The lock is there because a pipe
// that went back to the pool under a running Read would mix two callers' bodies.
type decoder struct {
	mu     sync.Mutex
	pipe   *pipe // nil once given back
	busy   bool  // a Read is under way
	closed bool
	err    error // the last error, which stays
}

func (d *decoder) Read(b []byte) (int, error) {
	d.mu.Lock()
	if d.err != nil {
		d.mu.Unlock()
		return 0, d.err
	}
	d.busy = true
	d.mu.Unlock()

	n, err := d.pipe.read(b)

	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = false
	if d.closed {
		err = errClosed
	}
	if err != nil {
		d.err = err
		d.free()
	}
	return n, err
}

func (d *decoder) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if !d.busy {
		d.err = errClosed
		d.free()
	}
	return nil
}

// free gives the pipe back; the lock is held and no Read is under way.
func (d *decoder) free() {
	if d.pipe != nil {
		d.pipe.close()
		d.pipe = nil
	}
}
