package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// The members below are those of
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2 and
// https://developer.hashicorp.com/vault/api-docs/auth/token.

// document is the secret in the answer to a read.
func (a answer) document() (document, error) {
	data, err := member(a.body, "data")
	if err != nil {
		return document{}, err
	}
	metadata, err := object(data["metadata"])
	if err != nil {
		return document{}, fmt.Errorf("data.metadata: %w (is that an engine of KV version 2?)", err)
	}
	d := document{}
	if err := json.Unmarshal(metadata["version"], &d.version); err != nil || d.version == 0 {
		return document{}, errors.New("data.metadata.version is no version")
	}
	fields, err := object(data["data"])
	if err != nil {
		return document{}, fmt.Errorf("data.data: %w", err)
	}
	d.fields = make(map[string]field, len(fields))
	for key, raw := range fields {
		text, err := scalar(raw)
		d.fields[key] = field{NewValue(text), err}
	}
	return d, nil
}

// missing is what a 404 means: a version that was deleted comes with its metadata.
func (v *vault) missing(a answer) error {
	data, err := member(a.body, "data")
	if err != nil {
		return fmt.Errorf("vault %q has no such secret (404): check the path, the mount %q and the namespace; the engine must be of KV version 2", v.cfg.Name, v.cfg.Mount)
	}
	metadata, _ := object(data["metadata"])
	if string(metadata["destroyed"]) == "true" {
		return fmt.Errorf("version %s of the secret was destroyed; write a new one", number(metadata["version"]))
	}
	return fmt.Errorf("version %s of the secret was deleted; undelete it or write a new one", number(metadata["version"]))
}

// grant is the token in the answer to a login or a renewal, which has none where the
// token stays.
func (a answer) grant() (token Value, lease time.Duration, renewable bool, err error) {
	auth, err := member(a.body, "auth")
	if err != nil {
		return Value{}, 0, false, err
	}
	var text string
	if raw := auth["client_token"]; raw != nil {
		if err := json.Unmarshal(raw, &text); err != nil || usable([]byte(text), false) != nil {
			return Value{}, 0, false, errors.New("auth.client_token is no token")
		}
	}
	lease, renewable, err = lasts(auth, "lease_duration")
	return NewValue(text), lease, renewable, err
}

// token is what lookup-self says of one.
func (a answer) token() (ttl time.Duration, renewable bool, err error) {
	data, err := member(a.body, "data")
	if err != nil {
		return 0, false, err
	}
	return lasts(data, "ttl")
}

// lasts reads how many seconds a token is good, and whether it can be renewed.
func lasts(from map[string]json.RawMessage, name string) (time.Duration, bool, error) {
	var seconds uint32
	if err := json.Unmarshal(from[name], &seconds); err != nil {
		return 0, false, fmt.Errorf("%s is no number of seconds", name)
	}
	var renewable bool
	if raw := from["renewable"]; raw != nil && json.Unmarshal(raw, &renewable) != nil {
		return 0, false, errors.New("renewable is neither true nor false")
	}
	return time.Duration(seconds) * time.Second, renewable, nil
}

// scalar is a string, or a number, true or false as it is written.
func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '{', '[':
		return "", errors.New("it is a list or an object, not text; name a key that has text")
	case 'n':
		return "", errors.New("it is null")
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil || strings.ContainsRune(text, utf8.RuneError) {
			return "", errors.New("it holds what is no character of Unicode")
		}
		return text, nil
	}
	return string(raw), nil
}

func number(raw json.RawMessage) string {
	var n uint64
	if json.Unmarshal(raw, &n) != nil {
		return "?"
	}
	return fmt.Sprint(n)
}

// member is the object that text, an object, has by that name.
func member(text []byte, name string) (map[string]json.RawMessage, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	outer, err := object(text)
	if err != nil {
		return nil, err
	}
	inner, err := object(outer[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return inner, nil
}

// object takes a JSON object apart, and refuses a name that is there twice: which of
// the two is meant? Its errors quote nothing.
func object(text []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(text) || bytes.TrimLeft(text, " \t\r\n")[0] != '{' {
		return nil, errors.New("that is no JSON object")
	}
	members := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token() // {
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, errors.New("that is no JSON object")
		}
		if members[name] != nil {
			return nil, errors.New("that is a JSON object with a name twice")
		}
		members[name] = value
	}
	return members, nil
}
