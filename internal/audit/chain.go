package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// link appends line to out with the hash of the line before in it, and its own
// hash behind:
//
//	{…,"prev":"PREV","hash":"SHA-256 of all that stands before ,\"hash\""}
func link(out, line []byte, prev string) (linked []byte, hash string) {
	start := len(out)
	out = append(out, line[:len(line)-1]...)
	out = append(append(append(out, `,"prev":"`...), prev...), '"')
	sum := sha256.Sum256(out[start:])
	hash = hex.EncodeToString(sum[:])
	return append(append(append(out, hashMark...), hash...), `"}`...), hash
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
