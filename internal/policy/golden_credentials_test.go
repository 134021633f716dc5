package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// credentialWords is what a credential is, whole.
func credentialWords(s *Snapshot, name string) string {
	i := slices.IndexFunc(s.Credentials(), func(c *Credential) bool { return c.Name == name })
	if i < 0 {
		return "none that a call may carry"
	}
	c := s.Credentials()[i]
	if c.Scheme == nil {
		return "nothing" // of a file that breaks the schema
	}
	text := c.Words() + " " + members(reflect.ValueOf(c.Scheme))
	for _, b := range c.bind {
		text += fmt.Sprintf(", %s", endpointWords(b))
	}
	if !c.methods.empty() {
		text += ", methods " + c.methods.words()
	}
	if len(c.paths) > 0 {
		text += ", paths " + list(c.paths)
	}
	if len(c.Headers()) > 0 {
		text += ", headers " + list(c.Headers())
	}
	if c.Upstream != "" {
		text += ", by " + c.Upstream
	}
	return text
}

func endpointWords(e endpoint) string {
	host := map[patternKind]string{exact: e.host, wildcard: "*." + e.host, anyHost: "*"}[e.kind]
	scheme := map[bool]string{true: "https", false: "http"}[e.tls]
	return fmt.Sprintf("%s://%s:%d", scheme, host, e.port)
}

// vaultWords is what a vault is, whole.
func vaultWords(s *Snapshot, name string) string {
	i := slices.IndexFunc(s.Secrets.Vaults, func(v *Vault) bool { return v.Name == name })
	if i < 0 {
		return "none"
	}
	v := *s.Secrets.Vaults[i]
	v.ID = "" // it has the folder in it
	return members(reflect.ValueOf(v))
}

// systemWords is how an upstream of fetchsvc's own calls is reached.
func systemWords(s *Snapshot, name string) string {
	for _, up := range s.System() {
		if up.Name == name {
			r := up.Base
			return fmt.Sprintf("%s by %s, %s, up to %s, allowed %s, ca %s, client certificate %s with %s, at most %d attempts in %s, again for %v and %s, redirects %s",
				list(up.Hosts), list(up.Schemes), up.access.allow.methods.words(), FormatSize(r.Sizes.Response.Max), list(up.AllowAddresses),
				word(up.TLS.CAFile), word(up.TLS.CertFile), word(string(up.TLS.Key)), r.Retry.MaxAttempts.Default, wait(r.Timeouts.Total.Max),
				r.Retry.Statuses, r.Retry.methods.words(), r.Redirects.Mode.Max)
		}
	}
	return "none"
}

// systemTraceWords is what calls of such an upstream are traced by.
func systemTraceWords(s *Snapshot, name string) string {
	for _, up := range s.System() {
		if up.Name == name {
			return tracingWords(up.Trace) + ", pattern " + word(up.PatternOf("id.example.com", 443, true))
		}
	}
	return "none"
}

// members writes what v has set, by the names of its members.
func members(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case target.URL:
		return x.String()
	case time.Duration:
		return wait(x)
	case *Credential:
		return x.Name
	case Template:
		var text strings.Builder
		for _, part := range x {
			text.WriteString(part.Text)
			if part.Name != "" {
				text.WriteString("<" + part.Name + ">")
			}
		}
		return fmt.Sprintf("%q", text.String())
	}
	var out []string
	switch v.Kind() {
	case reflect.Pointer:
		return members(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() {
				out = append(out, f.Name+" "+members(v.Field(i)))
			}
		}
		return "{" + strings.Join(out, ", ") + "}"
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, members(v.Index(i)))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case reflect.Map:
		for _, key := range slices.SortedFunc(maps.Keys(asMap(v)), strings.Compare) {
			out = append(out, key+" "+asMap(v)[key])
		}
		return "{" + strings.Join(out, ", ") + "}"
	default:
		return fmt.Sprint(v)
	}
}

func asMap(v reflect.Value) map[string]string {
	out := map[string]string{}
	for _, key := range v.MapKeys() {
		out[key.String()] = v.MapIndex(key).String()
	}
	return out
}
