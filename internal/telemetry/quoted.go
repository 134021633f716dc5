package telemetry

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// piece is how much of a secret, in bytes, is too much to show. Hints such as its last
// four characters are not.
const piece = 16

// pieces are what an error must not have in it, however it is coded.
type pieces struct {
	parts map[[piece]byte]bool
	short []string // secrets that are no longer than that
}

func newPieces(secrets []string) pieces {
	p := pieces{parts: map[[piece]byte]bool{}}
	for _, s := range secrets {
		s = unspaced(s)
		if len(s) < piece {
			p.short = append(p.short, s)
			continue
		}
		for i := range len(s) - piece + 1 {
			p.parts[[piece]byte([]byte(s[i:i+piece]))] = true
		}
	}
	return p
}

// in says whether text has one of them, as it stands or behind one coding.
func (p pieces) in(text string) bool {
	text = unspaced(text)
	for _, read := range []func(string) string{
		func(s string) string { return s }, unpercented, unescaped, html.UnescapeString, unhexed, unbase64ed,
	} {
		if p.plain(read(text)) {
			return true
		}
	}
	return false
}

func (p pieces) plain(text string) bool {
	for i := 0; i+piece <= len(text); i++ {
		if p.parts[[piece]byte([]byte(text[i:i+piece]))] {
			return true
		}
	}
	for _, s := range p.short {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

func unspaced(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

var (
	percents = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	escapes  = regexp.MustCompile(`\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|.)`)
	digits   = regexp.MustCompile(`[0-9A-Fa-f]{8,}`)
	sextets  = regexp.MustCompile(`[0-9A-Za-z+/_-]{6,}`)
)

func unpercented(s string) string {
	return percents.ReplaceAllStringFunc(s, func(code string) string {
		plain, _ := url.PathUnescape(code)
		return plain
	})
}

func unescaped(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(code string) string {
		if n, err := strconv.ParseUint(code[2:], 16, 32); err == nil {
			return string(rune(n))
		}
		return code[1:]
	})
}

// unhexed gives what digits stand for, wherever they begin.
func unhexed(s string) string {
	var out bytes.Buffer
	for _, run := range digits.FindAllString(s, -1) {
		for skip := range 2 {
			even := run[skip : len(run)-(len(run)-skip)%2]
			plain, _ := hex.DecodeString(even)
			out.Write(append(plain, '\n'))
		}
	}
	return out.String()
}

// unbase64ed gives what either alphabet stands for, wherever it begins.
func unbase64ed(s string) string {
	var out bytes.Buffer
	for _, run := range sextets.FindAllString(s, -1) {
		run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
		for skip := range 4 {
			whole := run[skip:]
			plain, _ := base64.RawStdEncoding.DecodeString(whole[:len(whole)-len(whole)%4])
			rest, _ := base64.RawStdEncoding.DecodeString(whole[len(whole)-len(whole)%4:])
			out.Write(append(append(plain, rest...), '\n'))
		}
	}
	return out.String()
}
