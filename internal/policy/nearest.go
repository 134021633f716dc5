package policy

import (
	"fmt"
	"strings"
)

const (
	maxDistance = 2
	maxGuess    = 64 // bytes; a longer name is nobody's slip of one that is known
)

// didYouMean is the end of an error about an unknown name: `; did you mean
// "billing"?`, or nothing if no known name is near. Near are names that differ
// in case or in - for _ alone, else by at most two slips, and by no more than
// half the name. Of names equally near it takes the alphabetically first.
func didYouMean(got string, known []string) string {
	if got == "" || len(got) > maxGuess {
		return ""
	}
	plain := []rune(foldName(got))
	most := min(maxDistance, len(plain)/2)
	best, found := "", false
	for _, name := range known {
		if name == got {
			return "" // it is known, so something else is wrong
		}
		d := distance(plain, []rune(foldName(name)), most)
		if d > most || found && d == most && best <= name {
			continue
		}
		best, found, most = name, true, d
	}
	if !found {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

func foldName(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}

// distance counts the slips between a and b: a letter too many, too few or
// wrong, or two neighbours swapped (the optimal string alignment form of
// Damerau-Levenshtein). What is over most is given as most+1.
func distance(a, b []rune, most int) int {
	if max(len(a)-len(b), len(b)-len(a)) > most {
		return most + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(row[len(b)], most+1)
}
