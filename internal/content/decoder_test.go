package content

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// flushWriter is what all encoders of these tests are.
type flushWriter interface {
	io.WriteCloser
	Flush() error
}

// format is one way to write a coding.
type format struct {
	name, coding string
	open         func(io.Writer) flushWriter
}

func formats() []format {
	return []format{
		{"gzip", "gzip", func(w io.Writer) flushWriter { return stdgzip.NewWriter(w) }},
		{"zlib", "deflate", func(w io.Writer) flushWriter { return stdzlib.NewWriter(w) }},
		{"bare deflate", "deflate", func(w io.Writer) flushWriter {
			fw, _ := stdflate.NewWriter(w, stdflate.DefaultCompression)
			return fw
		}},
		{"br", "br", func(w io.Writer) flushWriter { return brotli.NewWriter(w) }},
		{"zstd", "zstd", func(w io.Writer) flushWriter {
			zw, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
			return zw
		}},
	}
}

func (f format) code(plain []byte) []byte {
	var b bytes.Buffer
	w := f.open(&b)
	_, _ = w.Write(plain)
	_ = w.Close()
	return b.Bytes()
}

// noise is n bytes that do not compress, and always the same.
func noise(n int) []byte {
	var b []byte
	for i := uint64(0); len(b) < n; i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

func plenty() Limits { return Limits{MaxDecoded: 64 << 20, MaxRatio: 1 << 20} }

// decodeStream reads coded through NewDecoder, size bytes at a time.
func decodeStream(coding string, r io.Reader, lim Limits, size int) ([]byte, error) {
	d, err := NewDecoder(coding, r, lim)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var out []byte
	buf := make([]byte, size)
	for {
		n, err := d.Read(buf)
		out = append(out, buf[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

func TestDecoderRoundTrip(t *testing.T) {
	samples := map[string][]byte{
		"empty": {}, "one byte": {'x'}, "text": []byte(strings.Repeat("hello, world ", 1000)),
		"noise": noise(100_000), "zeros": make([]byte, 3<<20),
	}
	for _, f := range formats() {
		for name, plain := range samples {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				coded := f.code(plain)
				before := bytes.Clone(coded)
				for _, r := range []io.Reader{bytes.NewReader(coded), iotest.OneByteReader(bytes.NewReader(coded)), iotest.DataErrReader(bytes.NewReader(coded))} {
					got, err := decodeStream(f.coding, r, plenty(), 4096)
					if err != nil || !bytes.Equal(got, plain) {
						t.Fatalf("streamed: %d bytes, %v; want %d", len(got), err, len(plain))
					}
				}
				got, truncated, err := Decode(f.coding, coded, plenty())
				if err != nil || truncated || !bytes.Equal(got, plain) {
					t.Fatalf("Decode: %d bytes, %t, %v; want %d", len(got), truncated, err, len(plain))
				}
				if !bytes.Equal(coded, before) {
					t.Fatal("the coded bytes were modified")
				}
			})
		}
	}
}

func TestDecoderEmptyInput(t *testing.T) {
	for _, coding := range []string{"", "identity", "gzip", "deflate", "br", "zstd"} {
		got, err := decodeStream(coding, strings.NewReader(""), plenty(), 10)
		if err != nil || len(got) != 0 {
			t.Errorf("%q of nothing: %q, %v", coding, got, err)
		}
		got, truncated, err := Decode(coding, nil, plenty())
		if err != nil || truncated || len(got) != 0 {
			t.Errorf("Decode %q of nothing: %q, %t, %v", coding, got, truncated, err)
		}
	}
}

// Every cut of a body is noticed, and never taken for a whole one.
func TestDecoderCutShort(t *testing.T) {
	plain := []byte(strings.Repeat("hello, world ", 50))
	for _, f := range formats() {
		coded := f.code(plain)
		for n := 1; n < len(coded); n++ {
			got, _, err := Decode(f.coding, coded[:n], plenty())
			if !errors.Is(err, fault.BadContentCoding) || got != nil {
				t.Fatalf("%s cut at %d of %d: %q, %v", f.name, n, len(coded), got, err)
			}
		}
		_, _, err := Decode(f.coding, coded[:len(coded)-1], plenty())
		if err == nil || !strings.Contains(err.Error(), "in the middle") {
			t.Errorf("%s without its last byte: %v", f.name, err)
		}
	}
}

func TestDecoderCorrupt(t *testing.T) {
	for _, coding := range []string{"gzip", "deflate", "br", "zstd"} {
		body := []byte("<html>this is not coded at all, whatever the header says</html>")
		_, _, err := Decode(coding, body, plenty())
		if !errors.Is(err, fault.BadContentCoding) || !strings.Contains(err.Error(), "does not decode as "+coding) {
			t.Errorf("%s of plain text: %v", coding, err)
		}
		var e *fault.Error
		if !errors.As(err, &e) || e.Wire != fault.Answered || strings.Contains(e.Message, "\n") {
			t.Errorf("%s: the fault is %+v", coding, e)
		}
	}
	coded := formats()[0].code([]byte("hello"))
	coded[len(coded)-5] ^= 1 // the checksum
	if _, _, err := Decode("gzip", coded, plenty()); !errors.Is(err, fault.BadContentCoding) {
		t.Errorf("gzip with a wrong checksum: %v", err)
	}
}

func TestDecoderMembers(t *testing.T) {
	for _, f := range []format{formats()[0], formats()[4]} {
		two := append(f.code([]byte("one ")), append(f.code(nil), f.code([]byte("two"))...)...)
		got, err := decodeStream(f.coding, bytes.NewReader(two), plenty(), 100)
		if err != nil || string(got) != "one two" {
			t.Errorf("%s members: %q, %v", f.name, got, err)
		}
	}
	padded := append(formats()[0].code([]byte("x")), make([]byte, 100)...)
	if got, _, err := Decode("gzip", padded, plenty()); err != nil || string(got) != "x" {
		t.Errorf("padded gzip: %q, %v", got, err)
	}
	half := append(formats()[0].code([]byte("x")), "\x1f\x8b\x08"...)
	if _, _, err := Decode("gzip", half, plenty()); !errors.Is(err, fault.BadContentCoding) {
		t.Errorf("gzip with half a member after it: %v", err)
	}
}

// A broken connection stays one, wherever it breaks.
func TestDecoderPassesReadErrors(t *testing.T) {
	reset := errors.New("connection reset")
	plain := noise(10_000)
	for _, f := range formats() {
		coded := f.code(plain)
		for _, n := range []int{0, 1, 2, 5, len(coded) / 2, len(coded) - 1, len(coded)} {
			for _, cause := range []error{reset, io.ErrUnexpectedEOF} {
				r := io.MultiReader(bytes.NewReader(coded[:n]), iotest.ErrReader(cause))
				_, err := decodeStream(f.coding, r, plenty(), 512)
				if err != cause {
					t.Errorf("%s broken at %d of %d: %v, want %v itself", f.name, n, len(coded), err, cause)
				}
			}
		}
	}
}

func TestDecoderLimit(t *testing.T) {
	plain := noise(10_000)
	all := append(formats(), format{"plain", "identity", nil})
	for _, f := range all {
		coded := plain
		if f.open != nil {
			coded = f.code(plain)
		}
		t.Run(f.name, func(t *testing.T) {
			for _, size := range []int{1, 100, 9_999, 10_000, 10_001, 64 << 10} {
				got, err := decodeStream(f.coding, bytes.NewReader(coded), Limits{MaxDecoded: 10_000}, size)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("at the limit, reading %d: %d bytes, %v", size, len(got), err)
				}
				got, err = decodeStream(f.coding, bytes.NewReader(coded), Limits{MaxDecoded: 9_999}, size)
				if !errors.Is(err, fault.ResponseTooLarge) || !bytes.Equal(got, plain[:9_999]) {
					t.Fatalf("over the limit, reading %d: %d bytes, %v", size, len(got), err)
				}
			}
			got, truncated, err := Decode(f.coding, coded, Limits{MaxDecoded: 9_999})
			if !errors.Is(err, fault.ResponseTooLarge) || truncated || got != nil {
				t.Errorf("Decode over the limit: %d bytes, %t, %v", len(got), truncated, err)
			}
			got, truncated, err = Decode(f.coding, coded, Limits{MaxDecoded: 9_999, AllowTruncated: true})
			if err != nil || !truncated || !bytes.Equal(got, plain[:9_999]) {
				t.Errorf("Decode truncated: %d bytes, %t, %v", len(got), truncated, err)
			}
			got, truncated, err = Decode(f.coding, coded, Limits{MaxDecoded: 10_000, AllowTruncated: true})
			if err != nil || truncated || len(got) != 10_000 {
				t.Errorf("Decode at the limit: %d bytes, %t, %v", len(got), truncated, err)
			}
			if cap(got) > 2*10_000 {
				t.Errorf("Decode took %d bytes for 10000", cap(got))
			}
			if got, _, err = Decode(f.coding, coded, Limits{MaxDecoded: 1<<63 - 1}); err != nil || len(got) != 10_000 {
				t.Errorf("Decode without bounds: %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestDecoderRatio(t *testing.T) {
	for _, f := range formats() {
		small, big := f.code(make([]byte, 1<<20)), f.code(make([]byte, 4<<20))
		lim := Limits{MaxDecoded: 64 << 20, MaxRatio: 20}
		if got, _, err := Decode(f.coding, small, lim); err != nil || len(got) != 1<<20 {
			t.Errorf("%s: 1 MiB of zeros: %d bytes, %v", f.name, len(got), err)
		}
		_, _, err := Decode(f.coding, big, lim)
		if !errors.Is(err, fault.BadContentCoding) || !strings.Contains(err.Error(), "20 times") {
			t.Errorf("%s: 4 MiB of zeros: %v", f.name, err)
		}
		lim.MaxRatio = 0
		if got, _, err := Decode(f.coding, big, lim); err != nil || len(got) != 4<<20 {
			t.Errorf("%s without a ratio: %d bytes, %v", f.name, len(got), err)
		}
	}
}

// What the upstream flushes is read before it sends more.
func TestDecoderFlush(t *testing.T) {
	for _, f := range formats() {
		t.Run(f.name, func(t *testing.T) {
			pr, pw := io.Pipe()
			d, err := NewDecoder(f.coding, pr, plenty())
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			more := make(chan struct{})
			go func() {
				zw := f.open(pw)
				for range 3 {
					_, _ = io.WriteString(zw, "event: tick\n\n")
					_ = zw.Flush()
					<-more
				}
				_ = zw.Close()
				_ = pw.Close()
			}()
			buf := make([]byte, 4096)
			for i := range 3 {
				n, err := io.ReadAtLeast(d, buf, len("event: tick\n\n"))
				if err != nil || string(buf[:n]) != "event: tick\n\n" {
					t.Fatalf("event %d: %q, %v", i, buf[:n], err)
				}
				more <- struct{}{}
			}
			if n, err := d.Read(buf); n != 0 || err != io.EOF {
				t.Errorf("the end: %d bytes, %v", n, err)
			}
		})
	}
}

func TestDecoderClose(t *testing.T) {
	for _, f := range formats() {
		d, err := NewDecoder(f.coding, bytes.NewReader(f.code(noise(1000))), plenty())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(make([]byte, 10)); err != nil {
			t.Errorf("%s: Read: %v", f.name, err)
		}
		if err := errors.Join(d.Close(), d.Close()); err != nil {
			t.Errorf("%s: Close: %v", f.name, err)
		}
		if n, err := d.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("%s: Read after Close: %d, %v", f.name, n, err)
		}
	}
	d, _ := NewDecoder("gzip", strings.NewReader("never read"), plenty())
	if err := d.Close(); err != nil {
		t.Errorf("Close before Read: %v", err)
	}
}

// A Close during Read must not lend the decoder to another body.
func TestDecoderCloseDuringRead(t *testing.T) {
	pr, pw := io.Pipe()
	d, err := NewDecoder("gzip", pr, plenty())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := d.Read(make([]byte, 10))
		done <- err
	}()
	_, _ = pw.Write([]byte{0x1f}) // returns once Read has begun to read
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got, _, err := Decode("gzip", formats()[0].code([]byte("other")), plenty()); err != nil || string(got) != "other" {
		t.Errorf("another body: %q, %v", got, err)
	}
	_ = pw.CloseWithError(errors.New("late"))
	if err := <-done; err != errClosed {
		t.Errorf("the Read under way: %v", err)
	}
}

// Pooled decoders are lent to one body at a time, also after failures.
func TestDecoderConcurrent(t *testing.T) {
	var wg sync.WaitGroup
	for _, f := range formats() {
		for i := range 4 {
			plain := []byte(strings.Repeat(fmt.Sprint(f.name, i), 5000))
			coded := f.code(plain)
			wg.Go(func() {
				for range 20 {
					if _, _, err := Decode(f.coding, coded[:len(coded)/2], plenty()); err == nil {
						t.Errorf("%s: half a body decodes", f.name)
					}
					if got, err := decodeStream(f.coding, bytes.NewReader(coded), plenty(), 1000); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%s: %d bytes, %v", f.name, len(got), err)
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestNewDecoderMisuse(t *testing.T) {
	if _, err := NewDecoder("compress", nil, plenty()); err == nil {
		t.Error("an unknown coding is taken")
	}
	if _, err := NewDecoder("gzip", nil, Limits{}); err == nil {
		t.Error("no limit is taken")
	}
}
