package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxLine bounds a line that is read back; what Log writes is far below it.
	maxLine = 1 << 20
	// Anything is a prev that lets the first line follow anything.
	Anything = "*"
)

// Verified is what Verify found.
type Verified struct {
	// Lines is how many are as they were written, and Last the hash of the last.
	Lines int
	Last  string
	// Torn are the lines that a crash cut off, counted from 1. They are no lines of
	// the chain; the ones behind them say that they were found so.
	Torn []int

	torn     bool // the last line is
	fragment []byte
}

// Verify reads a chained log, whose first line must follow the one with the hash
// prev: empty at the beginning of a log. A log of several files is verified one
// after the other, each with the last hash of the one before.
//
// The chain shows that lines were changed, dropped from the beginning or from the
// middle, or moved. What was cut off at the end only shows beside a hash that is
// kept elsewhere.
func Verify(r io.Reader, prev string) (Verified, error) { return read(r, prev) }

func read(r io.Reader, prev string) (done Verified, err error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	done.Last = prev
	if prev == Anything {
		done.Last = ""
	}
	for at := 1; scanner.Scan(); at++ {
		line := scanner.Bytes()
		if done.torn { // and not the last: the line behind it must say so
			done.torn = false
			if !tellsOf(line, done.fragment) {
				return done, tornAt(at - 1)
			}
			done.Torn, done.fragment = append(done.Torn, at-1), nil
		}
		before, hash, err := unlink(line)
		switch {
		case err != nil && !json.Valid(line):
			done.torn, done.fragment = true, bytes.Clone(line)
			continue
		case err != nil:
			return done, fmt.Errorf("line %d: %w", at, err)
		case before != done.Last && !(done.Lines == 0 && prev == Anything):
			return done, fmt.Errorf("line %d: %w", at, notBehind(before, done.Lines == 0, prev))
		}
		done.Lines, done.Last = done.Lines+1, hash
	}
	if err := scanner.Err(); err != nil {
		done.torn = false
		return done, fmt.Errorf("line %d: %w", done.Lines+len(done.Torn)+1, err)
	}
	if done.torn {
		return done, tornAt(done.Lines + len(done.Torn) + 1)
	}
	return done, nil
}

// notBehind says why a line that follows before stands in the wrong place.
func notBehind(before string, first bool, prev string) error {
	switch {
	case first && prev == "":
		return fmt.Errorf("the lines before it are missing: it follows the one with the hash %s", before)
	case first && before == "":
		return fmt.Errorf("a log begins here, and does not follow the line with the hash %s: files are in another order, or it was begun anew", prev)
	case first:
		return fmt.Errorf("it follows the line with the hash %s, and not that with %s: lines, or a file, between them are missing", before, prev)
	}
	return errors.New("it does not follow the line before: one was dropped, added or moved")
}

func tornAt(line int) error {
	return fmt.Errorf("line %d: it is torn: a crash cut it off, or somebody did", line)
}

// tornReason is what the line behind a torn one says of it.
func tornReason(fragment []byte) string {
	return fmt.Sprintf("the line before this one was found torn: %d bytes with the SHA-256 %x", len(fragment), sha256.Sum256(fragment))
}

// tellsOf says that line is the log's own word on fragment. Whether the word is
// true, its place in the chain says.
func tellsOf(line, fragment []byte) bool {
	var told struct{ Msg, Reason string }
	return json.Unmarshal(line, &told) == nil && told.Msg == "log" && told.Reason == tornReason(fragment)
}
