package secret

import (
	"errors"
	"path/filepath"
	"strings"
)

// reference is a reference, taken apart.
type reference struct {
	// source is "env", "file" or the name of a vault.
	source string
	// name is the variable, or the path of the file or of the vault's secret.
	name string
	// key is what is wanted of a vault's secret.
	key string
}

func (r reference) isVault() bool { return r.key != "" }

func (r reference) String() string {
	if r.isVault() {
		return r.source + ":" + r.name + "#" + r.key
	}
	return r.source + ":" + r.name
}

// parse reads a reference; it looks nothing up. A ref that is none is not quoted: it
// may be the secret itself, pasted into the wrong place.
func parse(ref string) (reference, error) {
	source, name, _ := strings.Cut(ref, ":")
	path, key, isVault := strings.Cut(name, "#")
	switch {
	case ref == "":
		return reference{}, errors.New("the secret's reference is empty; write env:NAME, file:/absolute/path or VAULT:PATH#KEY")
	case source == "env" && !isVariable(name):
		return reference{}, errors.New("a secret of the environment is written env:NAME, with a NAME of letters, digits and underscores (what stands there is not shown: it may be a secret)")
	case source == "file" && (!filepath.IsAbs(name) || strings.ContainsRune(name, 0)):
		return reference{}, errors.New("a secret in a file is written file:/absolute/path (what stands there is not shown: it may be a secret)")
	case source == "env" || source == "file":
		return reference{source: source, name: name}, nil
	case !isVault || !isVaultName(source):
		return reference{}, errors.New("no known kind of secret reference; write env:NAME, file:/absolute/path or VAULT:PATH#KEY, never the secret itself (what stands there is not shown: it may be one)")
	case !isPath(path) || key == "" || hasControl(key):
		return reference{}, errors.New("a secret of a vault is written VAULT:PATH#KEY, the PATH without the mount, without empty segments, `.` and `..` (what stands there is not shown: it may be a secret)")
	}
	return reference{source, path, key}, nil
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isVaultName is as the policy's schema has it: lower-case letters and digits, and
// `_`, `.` and `-` inside.
func isVaultName(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		case (c == '_' || c == '.' || c == '-') && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return name != ""
}

// isPath says that path names one secret below a mount, whoever reads it: a
// segment that is empty or climbs may be another one to a proxy than to the vault.
func isPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return !hasControl(path)
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
