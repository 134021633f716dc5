package policy

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Source says which part of the file sets a setting, such as `timeouts.total`:
// `upstream github routes[0]`, `upstream github`, `defaults`, or `built in`.
func (r *Route) Source(path string) string {
	if path == "tls.client_certificate" && r.Upstream.Base.Credential.isPresented() {
		path = "credential" // which is where it is from
		r = r.Upstream.Base
	}
	for _, l := range r.levels {
		if l.message.ProtoReflect().IsValid() && sets(l.message.ProtoReflect(), strings.Split(path, ".")) {
			return l.name
		}
	}
	return "built in"
}

// sets says that m has a field at path.
func sets(m protoreflect.Message, path []string) bool {
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if fd == nil || !m.Has(fd) {
		return false
	}
	if len(path) == 1 {
		return true
	}
	return fd.Message() != nil && !fd.IsList() && sets(m.Get(fd).Message(), path[1:])
}
