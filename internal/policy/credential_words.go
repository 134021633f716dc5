package policy

import "strings"

// Words are its name and its scheme, for people: "github (oauth2, client_credentials)".
// They have no secret in them, nor where one is.
func (cred *Credential) Words() string {
	words := []string{cred.Kind()}
	switch s := cred.Scheme.(type) {
	case *APIKey:
		for _, place := range []struct{ kind, name string }{{"header", s.Header}, {"query", s.Query}, {"cookie", s.Cookie}} {
			if place.name != "" {
				words = append(words, place.kind+" "+place.name)
			}
		}
	case *Headers:
		for _, h := range s.Set {
			words = append(words, h.Name)
		}
	case *OAuth2:
		words = append(words, s.Grant)
	case *AWS:
		words = append(words, s.Service, s.Region)
		if s.Role != nil {
			words = append(words, "by a role")
		}
	case *HMAC:
		words = append(words, s.Hash)
	case *Pool:
		words[0] += " of"
		for i, m := range s.Members {
			if i == 0 {
				words[0] += " " + m.Name
				continue
			}
			words = append(words, m.Name)
		}
	}
	return cred.Name + " (" + strings.Join(words, ", ") + ")"
}
