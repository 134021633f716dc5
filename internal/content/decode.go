package content

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// Decode is [NewDecoder] for a body that is in memory. With lim.AllowTruncated
// a body of more than lim.MaxDecoded bytes gives that many and truncated true;
// any other failure gives no bytes. Without a coding the result shares memory
// with coded.
func Decode(coding string, coded []byte, lim Limits) (decoded []byte, truncated bool, err error) {
	p, err := openPipe(coding, lim)
	if err != nil {
		return nil, false, err
	}
	defer p.close()
	if p.coding == codingIdentity {
		return cut(coded, p)
	}
	p.mem.Reset(coded)
	p.feed(&p.mem)
	out := make([]byte, 0, sizeHint(p.coding, coded, lim.MaxDecoded))
	for {
		if len(out) == cap(out) {
			out = grow(out, lim.MaxDecoded)
		}
		n, err := p.read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case err == nil:
		case err == io.EOF:
			return out, false, nil
		case lim.AllowTruncated && errors.Is(err, fault.ResponseTooLarge):
			return out, true, nil
		default:
			return nil, false, err
		}
	}
}

// grow doubles b, up to one byte more than limit: append would go beyond it.
func grow(b []byte, limit int64) []byte {
	n := int64(len(b))
	return append(make([]byte, 0, n+min(n, limit-n+1)), b...)
}

func cut(body []byte, p *pipe) ([]byte, bool, error) {
	switch n := p.lim.MaxDecoded; {
	case int64(len(body)) <= n:
		return body, false, nil
	case p.lim.AllowTruncated:
		return body[:n:n], true, nil
	}
	return nil, false, p.tooLarge()
}

// sizeHint guesses the decoded size, so that an honest body is allocated once
// and a dishonest one gains no more than a small multiple of what it sent.
func sizeHint(coding string, coded []byte, limit int64) int64 {
	const atLeast, usual, believed = 512, 4, 16
	size := int64(len(coded))
	hint := atLeast + usual*size
	if coding == codingGzip && size >= 18 {
		// ISIZE, the last four bytes of a member: RFC 1952, section 2.3.1.
		if n := int64(binary.LittleEndian.Uint32(coded[size-4:])); n <= atLeast+believed*size {
			hint = n
		}
	}
	return min(hint, limit) + 1 // the end shows only to a Read that has room
}
