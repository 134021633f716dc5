package content

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

func fuzzDecode(f *testing.F, coding string) {
	for _, fm := range formats() {
		if fm.coding == coding {
			f.Add(fm.code(nil), 10)
			f.Add(fm.code([]byte("hello, hello, hello")), 1)
			f.Add(fm.code(make([]byte, 100<<10)), 5000)
		}
	}
	lim := Limits{MaxDecoded: 64 << 10, MaxRatio: 1000}
	f.Fuzz(func(t *testing.T, coded []byte, size int) {
		whole, _, err := Decode(coding, coded, lim)
		streamed, streamErr := decodeStream(coding, iotest.OneByteReader(bytes.NewReader(coded)), lim, max(1, min(size, 1<<16)))
		if (err == nil) != (streamErr == nil) || err == nil && !bytes.Equal(whole, streamed) {
			t.Fatalf("Decode gives %d bytes, %v; streaming %d, %v", len(whole), err, len(streamed), streamErr)
		}
		if err != nil && !errors.Is(err, fault.BadContentCoding) && !errors.Is(err, fault.ResponseTooLarge) {
			t.Fatalf("an error without its kind: %v", err)
		}
		if int64(len(streamed)) > lim.MaxDecoded {
			t.Fatalf("%d bytes came out", len(streamed))
		}
		cut, truncated, err := Decode(coding, coded, Limits{MaxDecoded: 10, AllowTruncated: true})
		if len(cut) > 10 || truncated && (err != nil || len(cut) != 10) {
			t.Fatalf("truncated: %q, %t, %v", cut, truncated, err)
		}
	})
}

func FuzzDecodeGzip(f *testing.F)    { fuzzDecode(f, "gzip") }
func FuzzDecodeDeflate(f *testing.F) { fuzzDecode(f, "deflate") }
func FuzzDecodeBrotli(f *testing.F)  { fuzzDecode(f, "br") }
func FuzzDecodeZstd(f *testing.F)    { fuzzDecode(f, "zstd") }

func BenchmarkDecode(b *testing.B) {
	plain := []byte(strings.Repeat(`{"id":12345,"name":"somebody"},`, 34))
	for _, f := range formats() {
		coded := f.code(plain)
		b.Run(strings.ReplaceAll(f.name, " ", "_"), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Decode(f.coding, coded, plenty()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
