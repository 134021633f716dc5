package signals

import (
	"regexp"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// quoted is what an invalid request is told with of its own: strings, and tokens of
// JSON that were none.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*(?:"|$)|(?:unexpected token|invalid value(?: for [^:"(]*:)?) [^"(\s][^(]*`)

// words are a failure's, as spans may have them. A request that cannot be read is
// quoted to its caller, and may have a secret at any place.
func words(f *fault.Error) string {
	if f.Kind != fault.InvalidRequest {
		return clip(f.Message)
	}
	return clip(quoted.ReplaceAllStringFunc(f.Message, func(s string) string {
		if s[0] == '"' {
			return `"…"`
		}
		return "a value that is not shown "
	}))
}
