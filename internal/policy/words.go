package policy

import (
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The words of the loader's errors.

const secretName = "fetchsvc.policy.v1.Secret"

// kindWords says what n is.
func kindWords(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	default:
		return "text"
	}
}

// mappingWords says what a message is written as.
func mappingWords(md protoreflect.MessageDescriptor) string {
	const most = 4
	names := fieldNames(md)
	if len(names) == 1 {
		return "a mapping with the key " + names[0]
	}
	if len(names) > most {
		names = append(names[:most:most], "…")
	}
	return "a mapping with the keys " + strings.Join(names, ", ")
}

// mappingHint says how what was meant by n is written.
func mappingHint(md protoreflect.MessageDescriptor, n *yaml.Node) string {
	switch {
	case md.FullName() == secretName && n.Kind == yaml.ScalarNode && isReference(n.Value):
		return ": write {secret: " + n.Value + "}"
	case md.FullName() == secretName:
		return ": write {secret: env:NAME} or {secret: file:PATH}; the value itself does not belong here"
	case n.Kind == yaml.SequenceNode:
		return ": take the - or the brackets out"
	}
	return ""
}

// listHint says how what was meant by v is written.
func listHint(fd protoreflect.FieldDescriptor, v *yaml.Node) string {
	switch {
	case isMessage(fd):
		return ": begin each member with `- `"
	case v.Kind == yaml.ScalarNode && v.Style == 0 && len(v.Value) <= 64 && !strings.ContainsAny(v.Value, " ,"):
		return ": write [" + v.Value + "]"
	case v.Kind == yaml.ScalarNode && v.Style == 0 && len(v.Value) <= 256:
		return ": write [" + strings.Join(strings.FieldsFunc(v.Value, func(r rune) bool { return r == ',' || r == ' ' }), ", ") + "]"
	}
	return ": write " + listExample(fd)
}

// wanted says what stands in for nothing.
func wanted(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsList():
		return listExample(fd)
	case fd.IsMap():
		return mappingExample(fd)
	case fd.Message() != nil && fd.Message().FullName() == secretName:
		return "{secret: env:NAME}"
	case fd.Message() != nil && fd.Message().Name() == "SigningKey":
		return "{key: {secret: file:PATH}}"
	case isMessage(fd):
		return "its keys"
	default:
		return scalarExample(fd)
	}
}

// mappingExample is what a mapping with free keys may look like.
func mappingExample(fd protoreflect.FieldDescriptor) string {
	switch fd.TextName() {
	case "set":
		return "{X-Auth: \"${key}\"}"
	case "headers":
		return "{X-Signature: \"${signature}\"}"
	case "params":
		return "{resource_id: billing}"
	default:
		return "{team: payments}"
	}
}

func listExample(fd protoreflect.FieldDescriptor) string {
	if isMessage(fd) {
		return "members that begin with `- `"
	}
	return "[" + scalarExample(fd) + "]"
}

func scalarWords(fd protoreflect.FieldDescriptor) string {
	switch {
	case isDuration(fd):
		return "a duration"
	case fd.Kind() == protoreflect.BoolKind:
		return "true or false"
	case fd.Kind() == protoreflect.Int32Kind, fd.Kind() == protoreflect.DoubleKind:
		return "a number"
	default:
		return "text"
	}
}

// scalarExample is what the value of fd may look like.
func scalarExample(fd protoreflect.FieldDescriptor) string {
	switch fd.TextName() {
	case "hosts", "no_proxy", "server_name":
		return "api.example.com"
	case "name", "credential", "credentials", "members", "callers", "operators", "client_id", "role":
		return "billing"
	case "scopes":
		return "read"
	case "address":
		return "https://vault.example.com:8200"
	case "audience", "resource":
		return "https://api.example.com"
	case "token_url":
		return "https://idp.example.com/token"
	case "region":
		return "eu-central-1"
	case "service":
		return "s3"
	case "role_arn":
		return "arn:aws:iam::123456789012:role/fetchsvc"
	case "role_id":
		return "59d6d1ca-47bb-4e7e-a40b-8be3bc5a0ba8"
	case "text":
		return "\"${method} ${path}\""
	case "audiences":
		return "fetchsvc"
	case "jwks_url":
		return "https://idp.example.com/keys"
	case "issuer":
		if fd.ContainingMessage().Name() == "CallerToken" {
			return "corp"
		}
		return "https://idp.example.com"
	case "spiffe_ids":
		return "spiffe://example.org/billing"
	case "dns_names":
		return "billing.internal.example.com"
	case "bind":
		return "https://api.example.com"
	case "methods":
		return "GET"
	case "paths":
		return "/v1/**"
	case "secret":
		return "env:NAME"
	case "unsafe_allow_addresses":
		return "10.0.0.0/8"
	case "statuses":
		return "503"
	case "ca_file":
		return "ca.pem"
	case "cert_file":
		return "client.pem"
	case "url":
		return "http://proxy.example.com:3128"
	case "min_rate", "spool", "request", "response", "decoded", "request_header", "response_header":
		return "64KiB"
	}
	rules := fieldRules(fd)
	if fd.IsList() {
		rules = rules.GetRepeated().GetItems()
	}
	for _, word := range rules.GetString().GetIn() {
		if word != "" {
			return word
		}
	}
	switch {
	case isDuration(fd):
		return "5s"
	case fd.Kind() == protoreflect.BoolKind:
		return "true"
	case fd.Kind() == protoreflect.Int32Kind:
		return "3"
	case fd.Kind() == protoreflect.DoubleKind:
		return "0.2"
	default:
		return "a value"
	}
}

func fieldNames(md protoreflect.MessageDescriptor) []string {
	names := make([]string, md.Fields().Len())
	for i := range names {
		names[i] = md.Fields().Get(i).TextName()
	}
	return names
}
