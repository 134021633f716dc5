package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// scalar reads one value of fd, which is no group of keys.
func (d *document) scalar(key, n *yaml.Node, path string, fd protoreflect.FieldDescriptor) (value protoreflect.Value, ok bool) {
	if !d.isPlain(key, n, path) {
		return value, false
	}
	if n.Kind != yaml.ScalarNode {
		d.refuse(key, n, path, "must be %s, not %s: write %s", scalarWords(fd), kindWords(n), scalarExample(fd))
		return value, false
	}
	value, reason := readScalar(n, fd)
	if reason != "" {
		d.refuse(key, n, path, "%s", reason)
		return value, false
	}
	return value, true
}

func readScalar(n *yaml.Node, fd protoreflect.FieldDescriptor) (value protoreflect.Value, reason string) {
	switch {
	case isDuration(fd):
		return readDuration(n.Value)
	case fd.Kind() == protoreflect.StringKind:
		return readText(n)
	case fd.Kind() == protoreflect.BoolKind:
		if n.ShortTag() != "!!bool" {
			return value, fmt.Sprintf("must be true or false, without quotes, not %q", shortened(n.Value))
		}
		return protoreflect.ValueOfBool(strings.EqualFold(n.Value, "true")), ""
	case fd.Kind() == protoreflect.Int32Kind:
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if err != nil || n.Style != 0 {
			return value, fmt.Sprintf("must be a whole number, without quotes, such as 3, not %q", shortened(n.Value))
		}
		return protoreflect.ValueOfInt32(int32(i)), ""
	case fd.Kind() == protoreflect.DoubleKind:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || n.Style != 0 || math.IsInf(f, 0) || math.IsNaN(f) {
			return value, fmt.Sprintf("must be a number, without quotes, such as 0.2, not %q", shortened(n.Value))
		}
		return protoreflect.ValueOfFloat64(f), ""
	default:
		return value, "cannot be read: its kind " + fd.Kind().String() + " is unknown to the loader"
	}
}

// readText takes what is written, numbers included: `min_version: 1.2` is as
// clear as with quotes.
func readText(n *yaml.Node) (value protoreflect.Value, reason string) {
	switch {
	case n.ShortTag() == "!!bool":
		return value, fmt.Sprintf("must be text, not %s: put it in quotes if it is meant so", n.Value)
	case n.Value == "":
		return value, "is empty: write a value, or take it out"
	}
	return protoreflect.ValueOfString(n.Value), ""
}

// readDuration takes `1m30s`: numbers with the units h, m, s, ms, us and ns.
func readDuration(text string) (value protoreflect.Value, reason string) {
	const hint = "write 5s, 500ms or 1m30s"
	digits := strings.TrimPrefix(text, "-")
	if _, err := strconv.ParseFloat(digits, 64); err == nil {
		return value, fmt.Sprintf("%q has no unit: %s", shortened(text), hint)
	}
	t, err := time.ParseDuration(text)
	if err != nil || digits[0] < '0' || digits[0] > '9' || strings.Trim(digits, "0123456789.hmsun") != "" {
		return value, fmt.Sprintf("%q is not a duration: %s", shortened(text), hint)
	}
	return protoreflect.ValueOfMessage(durationpb.New(t).ProtoReflect()), ""
}

// shortened cuts what an error would not be the place for.
func shortened(text string) string {
	const most = 60 // characters
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
