package main

import "fmt"

// conflicts finds flags that curl's user could not have meant together.
func (o *fetchOptions) conflicts() error {
	data, json, form := len(o.data) > 0, len(o.json) > 0, len(o.form) > 0
	switch {
	case data && json || data && form || json && form:
		return fmt.Errorf("--data, --json and --form each make the body: give one kind")
	case o.get && (json || form):
		return fmt.Errorf("--get puts --data into the query and has no use for --json and --form: leave one out")
	case o.head && (json || form || data && !o.get):
		return fmt.Errorf("--head asks for the head alone: leave the body out, or name the method with --request HEAD")
	case o.printJSON && o.include:
		return fmt.Errorf("--print-json writes the headers already: leave --include out")
	}
	return o.streamConflicts()
}

func (o *fetchOptions) streamConflicts() error {
	upload := o.uploadFile != ""
	switch {
	case upload && (len(o.data) > 0 && !o.get || len(o.json) > 0 || len(o.form) > 0):
		return fmt.Errorf("--upload-file is the body: leave --data, --json and --form out")
	case upload && o.head:
		return fmt.Errorf("--head asks for the head alone: leave --upload-file out")
	case !upload && (o.expectContinue || len(o.trailers) > 0):
		return fmt.Errorf("--expect-continue and --trailer belong to an upload: name it with --upload-file")
	case o.sse && o.lines:
		return fmt.Errorf("--sse and --lines each part the body: give one of them")
	case o.printJSON && o.streams():
		return fmt.Errorf("--print-json writes one whole answer: leave --stream, --upload-file, --sse and --lines out")
	}
	return nil
}
