// Package content builds request bodies and reads response bodies.
//
// Going out it encodes forms, queries, multipart bodies and text in a charset;
// coming back it undoes one content coding within limits, finds the charset of
// text, says whether JSON survives a trip through google.protobuf.Value, and
// parses Link fields. It knows nothing of policy, retries or connections, and
// does no I/O but to read the reader it is given.
//
// Nothing here modifies the bytes it is handed. Faults of what a caller sent
// and of what an upstream sent are a [fault.Error]; anything else that comes
// back is a defect of the calling code.
package content

// Field is one name and value of a form, a query, a part's header or a link's
// parameters. Order and repeats are kept wherever a list of them is taken.
type Field struct {
	Name string
	// Value is the value's bytes as they were given, UTF-8 as a rule.
	Value []byte
}
