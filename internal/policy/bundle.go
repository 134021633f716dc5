package policy

import (
	"fmt"
	"slices"
	"strconv"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// bundle is the files of a policy put together: lists one after the other, what
// there can only be one of from the one file that has it.
type bundle struct {
	docs []*document
	file *policyv1.Policy
	// starts says for every list at the top where each document's members begin.
	starts map[string][]int
	// owner is the document that has what there can only be one of.
	owner map[string]*document
}

func newBundle(files []textFile) *bundle {
	b := &bundle{file: new(policyv1.Policy), starts: map[string][]int{}, owner: map[string]*document{}}
	for _, f := range files {
		d := readDocument(f.name, f.text)
		b.docs = append(b.docs, d)
		b.add(d)
	}
	return b
}

// add lays d behind the documents before it.
func (b *bundle) add(d *document) {
	whole, part := b.file.ProtoReflect(), d.file.ProtoReflect()
	for i := range part.Descriptor().Fields().Len() {
		fd := part.Descriptor().Fields().Get(i)
		name := fd.TextName()
		switch {
		case fd.IsList():
			into := whole.Mutable(fd).List()
			b.starts[name] = append(b.starts[name], into.Len())
			from := part.Get(fd).List()
			for j := range from.Len() {
				into.Append(from.Get(j))
			}
		case part.Has(fd) && b.owner[name] != nil:
			first := b.owner[name]
			at := first.locate(name)
			d.failAt(d.locate(name), name, "stands in %s:%d already: there can be only one, put the two together", first.name, at.line)
		case part.Has(fd):
			b.owner[name] = d
			whole.Set(fd, part.Get(fd))
		}
	}
}

// readable says whether every file could be read, so that what is missing in one
// is not missed because another is torn.
func (b *bundle) readable() bool {
	return !slices.ContainsFunc(b.docs, func(d *document) bool { return d.torn })
}

// place gives the document that a path of the whole is about, and the path in it.
func (b *bundle) place(path string) (*document, string) {
	name, rest := nextStep(path)
	if d := b.owner[name]; d != nil {
		return d, path
	}
	starts := b.starts[name]
	step, below := nextStep(rest)
	index, err := strconv.Atoi(step)
	if err != nil || len(starts) == 0 {
		return b.holder(name), path
	}
	last := len(starts) - 1
	for last > 0 && starts[last] > index {
		last--
	}
	out := name + "[" + strconv.Itoa(index-starts[last]) + "]"
	if below != "" {
		out = joinPath(out, below)
	}
	return b.docs[last], out
}

// holder is the first document with the key name, or the first of all.
func (b *bundle) holder(name string) *document {
	for _, d := range b.docs {
		if d.locate(name).found {
			return d
		}
	}
	return b.docs[0]
}

// report takes in what compiling found, but for what follows from a fault of the
// schema at the same place.
func (b *bundle) report(found []problem) {
	for _, p := range found {
		d, path := b.place(p.path)
		if !d.isNoise(path) {
			d.problems = append(d.problems, d.problemAt(d.locate(path), path, p.err.Error(), p.warning))
		}
	}
}

// maxProblems bounds what one error holds.
const maxProblems = 1000

// problems gives all faults, or else the warnings as text, in the order of the
// files and their lines. Beside faults there are no warnings: they may follow
// from what could not be read.
func (b *bundle) problems() (faults []Problem, warnings []string) {
	failed := slices.ContainsFunc(b.docs, func(d *document) bool {
		return slices.ContainsFunc(d.problems, func(p Problem) bool { return !p.Warning })
	})
	count := 0
	var all []Problem
	for _, d := range b.docs {
		d.problems = slices.DeleteFunc(d.problems, func(p Problem) bool { return p.Warning == failed })
		count += len(d.problems)
		all = append(all, d.finish(maxProblems-len(all))...)
	}
	if more := count - len(all); more > 0 {
		all = append(all, Problem{File: all[len(all)-1].File, Reason: fmt.Sprintf("and %d more", more), Warning: !failed})
	}
	if failed {
		return all, nil
	}
	for _, p := range all {
		warnings = append(warnings, p.String())
	}
	return nil, warnings
}
