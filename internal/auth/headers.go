package auth

import (
	"context"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// headers are made from templates.
type headers struct {
	source
	settled
	scheme *policy.Headers
}

func (h *headers) Sign(ctx context.Context, o *Outgoing) error {
	secrets := make(map[string]secret.Value, len(h.scheme.Secrets))
	for name, ref := range h.scheme.Secrets {
		v, err := h.get(ctx, ref)
		if err != nil {
			return err
		}
		secrets[name] = v
	}
	lookup := func(name string) (string, bool) {
		v, ok := secrets[name]
		return v.Reveal(), ok && !v.IsZero()
	}
	values, err := h.fillAll(h.scheme.Set, lookup)
	if err != nil {
		return err
	}
	for i, t := range h.scheme.Set {
		o.set(t.Name, values[i])
	}
	for _, v := range secrets {
		o.reveal(v)
	}
	return nil
}

// fillAll gives the headers' values, or none if one cannot be made.
func (s source) fillAll(set []policy.HeaderTemplate, lookup func(string) (string, bool)) ([]string, error) {
	values := make([]string, len(set))
	for i, t := range set {
		value, missing := fill(t.Value, lookup)
		if missing != "" {
			return nil, s.cannot("nothing stands for ${%s} in its %s header", missing, t.Name)
		}
		if err := s.fits(t.Name, value); err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

// fill puts what lookup knows in the place of the template's names. A name that it
// does not know is given back.
func fill(t policy.Template, lookup func(string) (string, bool)) (text, missing string) {
	var b strings.Builder
	for _, part := range t {
		b.WriteString(part.Text)
		if part.Name == "" {
			continue
		}
		value, ok := lookup(part.Name)
		if !ok {
			return "", part.Name
		}
		b.WriteString(value)
	}
	return b.String(), ""
}
