package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"buf.build/go/protoyaml"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// maxFile bounds what is read: a policy is written by people.
const maxFile = 16 << 20

// LoadFile reads and compiles the policy file at path.
func LoadFile(path string) (*Snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("policy: %s is larger than %s", path, FormatSize(maxFile))
	}
	return Parse(path, text)
}

// Parse compiles the text of a policy file; name stands in errors. All faults
// are reported at once, each with line, column, the line itself and what to do.
func Parse(name string, text []byte) (*Snapshot, error) {
	given := text
	text = oneLineBreak(text)
	root, err := parseTree(name, text)
	if err != nil {
		return nil, err
	}
	var file policyv1.Policy
	if root != nil {
		if err := unmarshal(name, text, &file); err != nil {
			return nil, err
		}
	}
	s, faults := compile(&file)
	if len(faults) > 0 {
		return nil, render(name, text, root, faults)
	}
	sum := sha256.Sum256(given)
	s.Generation, s.Source, s.SHA256, s.LoadedAt = 1, name, hex.EncodeToString(sum[:]), time.Now()
	return s, nil
}

// oneLineBreak gives text with LF for everything that YAML 1.1 takes for the end
// of a line: the schema's reader counts LFs only, and panics where the counts
// differ.
func oneLineBreak(text []byte) []byte {
	for _, other := range []string{"\r\n", "\r", "\u0085", "\u2028", "\u2029"} {
		text = bytes.ReplaceAll(text, []byte(other), []byte("\n"))
	}
	return text
}

// unmarshal reads text by the schema, constraints included.
func unmarshal(name string, text []byte, file *policyv1.Policy) (err error) {
	defer func() {
		if p := recover(); p != nil { // a file is refused, whatever the reader makes of it
			err = fmt.Errorf("%s: the file cannot be read as YAML: %v", name, p)
		}
	}()
	validator, err := protovalidate.New(protovalidate.WithMessages(file))
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	opts := protoyaml.UnmarshalOptions{Path: name, Validator: validateAdapter{validator}}
	if err := opts.Unmarshal(text, file); err != nil {
		return errors.New(strings.TrimSpace(err.Error()))
	}
	return nil
}

// validateAdapter drops protovalidate's options, which protoyaml does not pass.
type validateAdapter struct{ v protovalidate.Validator }

func (a validateAdapter) Validate(m proto.Message) error { return a.v.Validate(m) }

// parseTree refuses what the schema's reader would let pass in silence: keys
// given twice and second documents. It gives nil for an empty file.
func parseTree(name string, text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:%d: a second document (---) would be ignored: put everything into one", name, max(second.Line, 1))
	}
	if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return nil, nil
	}
	if twice := duplicateKey(root.Content[0]); twice != nil {
		return nil, fmt.Errorf("%s:%d:%d: key %q is given twice: merge the two", name, twice.Line, twice.Column, twice.Value)
	}
	return root.Content[0], nil
}

// duplicateKey finds a key that stands twice in one mapping.
func duplicateKey(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			if seen[n.Content[i].Value] {
				return n.Content[i]
			}
			seen[n.Content[i].Value] = true
		}
	}
	for _, c := range n.Content {
		if twice := duplicateKey(c); twice != nil {
			return twice
		}
	}
	return nil
}
