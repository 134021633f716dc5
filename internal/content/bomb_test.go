package content

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// zeros gives n zero bytes.
type zeros struct{ n int64 }

func (z *zeros) Read(b []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), z.n))
	clear(b[:n])
	z.n -= int64(n)
	return n, nil
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func TestDecoderBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("compresses 1 GiB")
	}
	coded, w := io.Pipe()
	go func() {
		zw, _ := stdgzip.NewWriterLevel(w, stdgzip.BestSpeed)
		_, err := io.Copy(zw, &zeros{1 << 30})
		if err == nil {
			err = zw.Close()
		}
		w.CloseWithError(err)
	}()
	d, err := NewDecoder("gzip", coded, Limits{MaxDecoded: 100 << 20})
	if err != nil {
		t.Fatal(err)
	}
	before := allocated()
	n, err := io.Copy(io.Discard, d)
	if !errors.Is(err, fault.ResponseTooLarge) || n != 100<<20 {
		t.Errorf("a bomb gave %d bytes, %v", n, err)
	}
	if used := allocated() - before; used > 8<<20 {
		t.Errorf("it took %d bytes of memory", used)
	}
	_ = d.Close()
	_ = coded.CloseWithError(errClosed) // ends the goroutine
}

func TestDecodeBombRefusedEarly(t *testing.T) {
	var b bytes.Buffer
	zw := stdgzip.NewWriter(&b)
	_, _ = io.Copy(zw, &zeros{16 << 20})
	_ = zw.Close()
	before := allocated()
	_, _, err := Decode("gzip", b.Bytes(), Limits{MaxDecoded: 64 << 20, MaxRatio: 100})
	if !errors.Is(err, fault.BadContentCoding) {
		t.Errorf("a bomb: %v", err)
	}
	if used := allocated() - before; used > 8<<20 {
		t.Errorf("it took %d bytes of memory", used)
	}
}

func TestDecoderZstdWindow(t *testing.T) {
	const magic = "\x28\xb5\x2f\xfd"
	rle := "\x03\x00\x10x" // last block: 128 KiB of 'x' in one byte
	for _, tc := range []struct {
		name, frame string
		ok          bool
	}{
		{"8 MiB", magic + "\x00" + string(byte(13<<3)) + rle, true},
		{"8 MiB and an eighth", magic + "\x00" + string([]byte{13<<3 | 1}) + rle, false},
		{"1 GiB", magic + "\x00" + string([]byte{20 << 3}) + rle, false},
		{"2 TiB", magic + "\x00" + string([]byte{31 << 3}) + rle, false},
		{"single segment of 1 GiB", magic + "\xa0\x00\x00\x00\x40" + rle, false},
		{"single segment of 1 EiB", magic + "\xe0\x00\x00\x00\x00\x00\x00\x00\x10" + rle, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := allocated()
			got, _, err := Decode("zstd", []byte(tc.frame), Limits{MaxDecoded: 1 << 40})
			if used := allocated() - before; used > 24<<20 {
				t.Errorf("it took %d bytes of memory", used)
			}
			if tc.ok {
				if err != nil || len(got) != 128<<10 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			if !errors.Is(err, fault.BadContentCoding) || !strings.Contains(err.Error(), "8 MiB") {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}
