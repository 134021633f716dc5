package content

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

const (
	// ratioFrom is the output below which the ratio is not looked at.
	ratioFrom = 1 << 20
	// pooledUpTo is the output above which a pipe is not pooled: a brotli or
	// zstd decoder keeps a window that has grown with what it decoded.
	pooledUpTo = 4 << 20
	// maxEmptyReads is when a reader that gives nothing is given up.
	maxEmptyReads = 100
)

// codec undoes one coding. Its errors are its own business: pipe tells what
// they mean. It keeps its buffers from one start to the next.
type codec interface {
	// start begins a body; in has at least one byte.
	start(in *bufio.Reader) error
	io.Reader
}

// pipe is source, buffer, codec and limits for one body at a time.
type pipe struct {
	coding  string
	src     source
	in      *bufio.Reader // over src
	mem     bytes.Reader  // what src reads for Decode
	codec   codec
	lim     Limits
	out     int64
	started bool
}

// One pool for each coding; a pool's New is all that differs.
var (
	plainPool   = newPool(codingIdentity, func() codec { return new(plain) })
	gzipPool    = newPool(codingGzip, func() codec { return new(gunzip) })
	deflatePool = newPool(codingDeflate, func() codec { return new(inflate) })
	brotliPool  = newPool(codingBrotli, func() codec { return new(unbrotli) })
	zstdPool    = newPool(codingZstd, func() codec { return new(unzstd) })
)

func newPool(coding string, newCodec func() codec) *sync.Pool {
	return &sync.Pool{New: func() any {
		p := &pipe{coding: coding, codec: newCodec()}
		p.in = bufio.NewReader(&p.src)
		return p
	}}
}

func poolOf(coding string) *sync.Pool {
	switch coding {
	case "", codingIdentity:
		return plainPool
	case codingGzip:
		return gzipPool
	case codingDeflate:
		return deflatePool
	case codingBrotli:
		return brotliPool
	case codingZstd:
		return zstdPool
	}
	return nil
}

func openPipe(coding string, lim Limits) (*pipe, error) {
	if lim.MaxDecoded <= 0 {
		return nil, errors.New("content: Limits.MaxDecoded must be set")
	}
	pool := poolOf(coding)
	if pool == nil {
		return nil, fmt.Errorf("content: no decoder for the coding %q", coding)
	}
	p := pool.Get().(*pipe)
	p.lim = lim
	return p, nil
}

func (p *pipe) feed(r io.Reader) {
	p.src = source{r: r}
	p.in.Reset(&p.src)
}

// close pools p again; it must not be used after it.
func (p *pipe) close() {
	p.mem.Reset(nil)
	p.feed(nil)
	p.started = false
	if p.out <= pooledUpTo {
		p.out = 0
		poolOf(p.coding).Put(p)
	}
}

// read is one Read of the decoded bytes. After an error it is not called again.
func (p *pipe) read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if !p.started {
		if err := p.start(); err != nil {
			return 0, err
		}
	}
	// One byte more than is allowed tells "full" from "too large".
	allowed := p.lim.MaxDecoded - p.out
	if int64(len(b)) > allowed {
		b = b[:allowed+1]
	}
	n, err := p.next(b)
	if int64(n) > allowed {
		return int(allowed), p.tooLarge()
	}
	p.out += int64(n)
	if p.overRatio() {
		return n, badCoding(nil, fmt.Sprintf("the response body swells to more than %d times its size as %s; "+
			"`decode: NONE` hands over the bytes as they came", p.lim.MaxRatio, p.coding))
	}
	if err != nil {
		err = p.judge(err)
	}
	return n, err
}

// start looks at the first byte: no codec takes an empty body, and plenty of
// servers label one.
func (p *pipe) start() error {
	if _, err := p.in.Peek(1); err != nil {
		return p.judge(err)
	}
	if err := p.codec.start(p.in); err != nil {
		return p.judge(noEOF(err))
	}
	p.started = true
	return nil
}

// next reads from the codec until there is a byte or an error.
func (p *pipe) next(b []byte) (int, error) {
	for range maxEmptyReads {
		if n, err := p.codec.Read(b); n != 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

func (p *pipe) overRatio() bool {
	return p.lim.MaxRatio > 0 && p.out > ratioFrom && p.out/p.lim.MaxRatio > p.src.n
}

// judge turns an error of the codec into the one to report.
func (p *pipe) judge(err error) error {
	switch {
	case p.src.err != nil:
		return p.src.err
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return badCoding(err, fmt.Sprintf("the response body ends in the middle of its %s coding; "+
			"`decode: NONE` hands over the bytes as they came", p.coding))
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return badCoding(err, "the response body needs a zstd window of more than 8 MiB, which RFC 9659 forbids; "+
			"`decode: NONE` hands over the bytes as they came")
	}
	return badCoding(err, fmt.Sprintf("the response body does not decode as %s; "+
		"`decode: NONE` hands over the bytes as they came", p.coding))
}

func (p *pipe) tooLarge() error {
	e := fault.Newf(fault.ResponseTooLarge, "the decoded response body is larger than %d bytes; "+
		"raise max_response_bytes, take the first part of it with allow_truncated, or use Stream", p.lim.MaxDecoded)
	e.Wire = fault.Answered
	return e
}

// source counts what is read from r and remembers how that failed, so that
// the failure is not taken for the codec's.
type source struct {
	r   io.Reader
	n   int64
	err error // never io.EOF
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// noEOF makes an end of input what it is in the middle of something.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
