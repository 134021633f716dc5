package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// constraintWords says what is wrong and what to write, and where: of a list, the
// member at fault. whole is the path of all files, path the one in its own; given:
// something is there.
func constraintWords(v *protovalidate.Violation, whole, path string, given bool) (at, reason string) {
	fd, oneof := schemaAt(whole)
	if fd == nil {
		return parent(path), "lacks its " + string(oneof.Name()) + ": write " + orWords(memberNames(oneof))
	}
	rules := fieldRules(fd)
	if fd.IsList() && strings.HasSuffix(path, "]") {
		rules = rules.GetRepeated().GetItems()
	}
	if !given {
		return path, "is missing: write " + fd.TextName() + ": " + wanted(fd)
	}
	value := v.FieldValue
	switch id := v.Proto.GetRuleId(); {
	case id == "repeated.unique":
		i := secondOf(value.List())
		return fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%v is given twice: take one out", value.List().Get(i))
	case id == "repeated.max_items":
		return path, fmt.Sprintf("has %d members: at most %d are allowed", value.List().Len(), rules.GetRepeated().GetMaxItems())
	case id == "repeated.min_items":
		return path, fmt.Sprintf("needs at least %d members, and has %d", rules.GetRepeated().GetMinItems(), value.List().Len())
	case id == "map.max_pairs":
		return path, fmt.Sprintf("has %d members: at most %d are allowed", value.Map().Len(), rules.GetMap().GetMaxPairs())
	case id == "string.in":
		return path, choiceWords(value.String(), rules.GetString().GetIn())
	case id == "string.pattern":
		return path, patternWords(value.String(), rules.GetString().GetPattern())
	case id == "string.max_bytes":
		return path, fmt.Sprintf("is %d bytes long: at most %d are allowed", len(value.String()), rules.GetString().GetMaxBytes())
	case strings.HasPrefix(id, "int32."), strings.HasPrefix(id, "double."), strings.HasPrefix(id, "duration."):
		low, high := bounds(rules)
		return path, fmt.Sprintf("must be from %s to %s, not %s", low, high, numberWords(value))
	}
	return path, v.Proto.GetMessage()
}

func memberNames(o protoreflect.OneofDescriptor) []string {
	names := make([]string, o.Fields().Len())
	for i := range names {
		names[i] = o.Fields().Get(i).TextName()
	}
	return names
}

// choiceWords lists what got may be; the empty word stands for what is not given.
func choiceWords(got string, in []string) string {
	words := slices.DeleteFunc(slices.Clone(in), func(w string) bool { return w == "" })
	return fmt.Sprintf("must be %s, not %q%s", orWords(words), shortened(got), didYouMean(got, words))
}

func orWords(words []string) string {
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return strings.Join(words, "")
}

// patternWords says a pattern in plain words.
func patternWords(got, pattern string) string {
	switch pattern {
	case "^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$":
		return fmt.Sprintf("%q is no name: use lower-case letters, digits, and - _ . between them", shortened(got))
	case "^[a-zA-Z0-9]([a-zA-Z0-9_.@/-]*[a-zA-Z0-9])?$":
		return fmt.Sprintf("%q is no name: use letters, digits, and - _ . @ / between them", shortened(got))
	case "^[a-zA-Z_][a-zA-Z0-9_]*$":
		return fmt.Sprintf("%q is no name: use letters, digits and _", shortened(got))
	case "^[a-z0-9-]+$":
		return fmt.Sprintf("%q is none that AWS has: use lower-case letters, digits and hyphens, as in eu-central-1 or s3", shortened(got))
	case "^arn:[a-z-]+:iam::[0-9]+:role/.+$":
		return fmt.Sprintf("%q is no role: write its ARN, such as arn:aws:iam::123456789012:role/fetchsvc", shortened(got))
	case "^[A-Za-z0-9_=,.@-]*$":
		return fmt.Sprintf("%q is no session's name: use letters, digits and _ = , . @ -", shortened(got))
	default:
		return fmt.Sprintf("%q does not match %s", shortened(got), pattern)
	}
}

// bounds gives the least and the largest value that rules allow.
func bounds(rules *validate.FieldRules) (low, high string) {
	switch {
	case rules.GetInt32() != nil:
		return strconv.Itoa(int(rules.GetInt32().GetGte())), strconv.Itoa(int(rules.GetInt32().GetLte()))
	case rules.GetDouble() != nil:
		return fmt.Sprint(rules.GetDouble().GetGte()), fmt.Sprint(rules.GetDouble().GetLte())
	default:
		return durationWords(rules.GetDuration().GetGte()), durationWords(rules.GetDuration().GetLte())
	}
}

func numberWords(v protoreflect.Value) string {
	if m, ok := v.Interface().(protoreflect.Message); ok {
		if t, ok := m.Interface().(*durationpb.Duration); ok {
			return durationWords(t)
		}
	}
	return fmt.Sprint(v.Interface())
}

// durationWords writes t as the file would: `24h`, not `24h0m0s`.
func durationWords(t *durationpb.Duration) string {
	text := t.AsDuration().String()
	if t.AsDuration()%time.Minute == 0 && t.AsDuration() != 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if t.AsDuration()%time.Hour == 0 && t.AsDuration() != 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// secondOf gives the place of the first member that stands in the list before.
func secondOf(list protoreflect.List) int {
	seen := map[any]bool{}
	for i := range list.Len() {
		v := list.Get(i).Interface()
		if seen[v] {
			return i
		}
		seen[v] = true
	}
	return 0
}
