package main

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many links one path may lead through, as in Linux.
const maxLinks = 40

// trail gives what to watch so that no change of an absolute path goes unseen:
// the folders in which its links and its end lie, and the names that count in
// them; DIR/* is all of a folder. Kubernetes mounts a ConfigMap as links through
// one that it swaps, and editors put a new file in the place of the old: the file
// itself, watched, would not tell. What is missing is waited for where it would be.
func trail(path string) (dirs, names map[string]bool) {
	dirs, names = map[string]bool{}, map[string]bool{}
	sep := string(filepath.Separator)
	at := filepath.VolumeName(path) + sep
	rest := strings.Split(strings.TrimPrefix(path, at), sep)
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, name)
		if name == "" || name == "." || name == ".." {
			at = next
			continue
		}
		info, err := os.Lstat(next)
		link := err == nil && info.Mode()&os.ModeSymlink != 0
		if err != nil || link || len(rest) == 0 {
			dirs[at], names[next] = true, true
		}
		if err != nil || link && links == maxLinks {
			return dirs, names
		}
		if !link {
			at = next
			continue
		}
		links++
		to, err := os.Readlink(next)
		if err != nil {
			return dirs, names // it went away just now
		}
		if filepath.IsAbs(to) {
			at = filepath.VolumeName(to) + sep
			to = strings.TrimPrefix(to, at)
		}
		rest = append(strings.Split(to, sep), rest...)
	}
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		dirs[at], names[at+"/*"] = true, true
	}
	return dirs, names
}
