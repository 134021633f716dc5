package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// readFolder reads the policy files of a folder in the order of their names.
// Hidden names and subfolders are no part of it. Links are followed: Kubernetes
// mounts a ConfigMap as links through a hidden folder, `..data`, that it swaps as
// a whole; a swap while reading would mix two versions, and is read anew.
func readFolder(dir string) ([]textFile, error) {
	const attempts = 5
	for range attempts {
		before := mounted(dir)
		files, err := readFolderOnce(dir)
		if mounted(dir) == before {
			return files, err
		}
	}
	return nil, fmt.Errorf("policy: %s changes faster than it can be read: wait until the mount is updated", dir)
}

// mounted says which version of a ConfigMap is mounted at dir; empty: none is.
func mounted(dir string) string {
	to, err := os.Readlink(filepath.Join(dir, "..data"))
	if err != nil {
		return "" // a plain folder
	}
	return to
}

func readFolderOnce(dir string) ([]textFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var files []textFile
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !isPolicyName(e.Name()) {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		if info.IsDir() {
			continue
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("policy: %s is no regular file: take it out of the folder", path)
		}
		if len(files) == maxFiles {
			return nil, fmt.Errorf("policy: %s holds more than %d policy files: put some together", dir, maxFiles)
		}
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, textFile{path, text})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("policy: %w", errors.New(dir+" holds no file *.yaml or *.yml: an empty policy is a file that holds {}"))
	}
	return files, nil
}

func isPolicyName(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"))
}

// digestFolder is the digest of all files: of each its name without folder, its
// length and its text. A mount's path is no part of what a policy is.
func digestFolder(files []textFile) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s\x00%d\x00", filepath.Base(f.name), len(f.text))
		h.Write(f.text)
	}
	return hex.EncodeToString(h.Sum(nil))
}
