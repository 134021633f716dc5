package content

import (
	"bufio"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

var (
	_ codec = (*plain)(nil)
	_ codec = (*gunzip)(nil)
	_ codec = (*inflate)(nil)
	_ codec = (*unbrotli)(nil)
	_ codec = (*unzstd)(nil)
)

// plain is the identity coding.
type plain struct{ *bufio.Reader }

func (c *plain) start(in *bufio.Reader) error {
	c.Reader = in
	return nil
}

// gunzip reads gzip members one after another (RFC 1952). What follows the
// last one and is no member is dropped, as browsers, curl and urllib3 do:
// servers pad.
type gunzip struct {
	zr    gzip.Reader
	in    *bufio.Reader
	ended bool // a member is complete
}

func (c *gunzip) start(in *bufio.Reader) error {
	c.in = in
	return c.member()
}

func (c *gunzip) member() error {
	c.ended = false
	if err := c.zr.Reset(c.in); err != nil {
		return noEOF(err)
	}
	c.zr.Multistream(false)
	return nil
}

func (c *gunzip) Read(b []byte) (int, error) {
	if c.ended {
		// Looked at only now, so that the member's last bytes do not wait for
		// what comes after them.
		if head, _ := c.in.Peek(2); string(head) != "\x1f\x8b" {
			return 0, io.EOF
		}
		if err := c.member(); err != nil {
			return 0, err
		}
	}
	n, err := c.zr.Read(b)
	if err == io.EOF {
		c.ended = true
		err = nil
	}
	return n, err
}

// inflate reads deflate both ways it is sent: as RFC 9110 says, in a zlib
// wrapping (RFC 1950), and bare (RFC 1951) as some servers always did.
type inflate struct {
	in     *bufio.Reader
	zlib   io.ReadCloser
	bare   io.ReadCloser
	active io.Reader
	ended  bool
}

func (c *inflate) start(in *bufio.Reader) (err error) {
	c.in, c.ended = in, false
	if !zlibHead(in) {
		if c.bare == nil {
			c.bare = flate.NewReader(in)
		} else {
			err = c.bare.(flate.Resetter).Reset(in, nil)
		}
		c.active = c.bare
		return err
	}
	if c.zlib == nil {
		c.zlib, err = zlib.NewReader(in)
	} else {
		err = c.zlib.(zlib.Resetter).Reset(in, nil)
	}
	c.active = c.zlib
	return err
}

// zlibHead looks for a zlib header. No encoder writes a bare stream that
// begins like one: it would be a stored block with its padding bits set.
func zlibHead(in *bufio.Reader) bool {
	h, _ := in.Peek(2)
	return len(h) == 2 && h[0]&0x0f == 8 && h[0]>>4 <= 7 && (uint(h[0])<<8|uint(h[1]))%31 == 0
}

func (c *inflate) Read(b []byte) (int, error) {
	if c.ended {
		// The end of the input is read so that net/http sees it and keeps the
		// connection, and so that a body cut short after it is noticed.
		_, _ = c.in.Peek(1)
		return 0, io.EOF
	}
	n, err := c.active.Read(b)
	if err == io.EOF {
		c.ended = true
		err = nil
	}
	return n, err
}

// unbrotli reads brotli (RFC 7932), whose windows end at 16 MiB. What follows its
// end is dropped, as with gzip.
type unbrotli struct{ brotli.Reader }

func (c *unbrotli) start(in *bufio.Reader) error { return c.Reset(in) }

func (c *unbrotli) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if err != nil && err.Error() == "brotli: excessive input" {
		// The library has no other name for it, and notices it or not by how the
		// input happens to be cut.
		err = io.EOF
	}
	return n, err
}

// zstdWindow is the largest window of the zstd content coding (RFC 9659).
const zstdWindow = 8 << 20

// unzstd reads zstd frames one after another (RFC 8878) on the goroutine that
// calls it.
type unzstd struct{ *zstd.Decoder }

func (c *unzstd) start(in *bufio.Reader) (err error) {
	if c.Decoder == nil {
		// In streaming, "max memory" caps the window of single-segment frames,
		// which "max window" does not.
		c.Decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdWindow))
		if err != nil {
			return err
		}
	}
	return c.Reset(in)
}
