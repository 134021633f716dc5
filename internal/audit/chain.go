package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line that is read back; what Log writes is far below it.
const maxLine = 1 << 20

// link puts the hash of the line before into line, and its own hash behind:
//
//	{…,"prev":"PREV","hash":"SHA-256 of all that stands before ,\"hash\""}
func link(line []byte, prev string) (linked []byte, hash string) {
	linked = fmt.Appendf(line[:len(line)-1:len(line)-1], `,"prev":%q`, prev)
	sum := sha256.Sum256(linked)
	hash = hex.EncodeToString(sum[:])
	return fmt.Appendf(linked, `,"hash":%q}`, hash), hash
}

// hashMark stands before the hash at the end of a line.
const hashMark = `,"hash":"`

// unlink checks a line's own hash and gives it with the one before.
func unlink(line []byte) (prev, hash string, err error) {
	at := bytes.LastIndex(line, []byte(hashMark))
	if at < 0 {
		return "", "", errors.New("it has no hash: the log was not chained when it was written")
	}
	var told struct{ Prev, Hash string }
	if err := json.Unmarshal(line, &told); err != nil {
		return "", "", errors.New("it is not JSON")
	}
	sum := sha256.Sum256(line[:at])
	if hex.EncodeToString(sum[:]) != told.Hash || string(line[at+len(hashMark):]) != told.Hash+`"}` {
		return "", "", errors.New("it was changed: its hash is another")
	}
	return told.Prev, told.Hash, nil
}

// Verify reads a chained log and gives how many lines are as they were written,
// and the last one's hash. A log of several files is verified one after the other,
// each with the last hash of the one before; with an empty prev the first line may
// follow anything.
//
// The chain shows that lines were changed, dropped from the middle or moved. What
// was cut off at the end only shows beside a hash that is kept elsewhere.
func Verify(r io.Reader, prev string) (lines int, last string, err error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	last = prev
	for scanner.Scan() {
		before, hash, err := unlink(scanner.Bytes())
		switch {
		case err != nil:
			return lines, last, fmt.Errorf("line %d: %w", lines+1, err)
		case before != last && !(lines == 0 && prev == ""):
			return lines, last, fmt.Errorf("line %d: it does not follow the line before: one was dropped, added or moved", lines+1)
		}
		lines, last = lines+1, hash
	}
	if err := scanner.Err(); err != nil {
		return lines, last, fmt.Errorf("line %d: %w", lines+1, err)
	}
	return lines, last, nil
}
