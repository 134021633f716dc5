package auth

import (
	"context"
	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// put is Outgoing.set for a value made of several parts.
func (s source) put(o *Outgoing, name, value string) error {
	if err := s.fits(name, value); err != nil {
		return err
	}
	o.set(name, value)
	return nil
}

// fits refuses what could end the header early.
func (s source) fits(name, value string) error {
	if !fieldValue(value) {
		return s.cannot("its %s header would have a control character in it", name)
	}
	return nil
}

// cannot says why the credential cannot be used. Arguments reach the caller.
func (s source) cannot(format string, args ...any) error {
	return fault.Newf(fault.CredentialUnavailable, "credential %q cannot be used: "+format, append([]any{s.name}, args...)...)
}

// optional is get for a reference that may be empty: then there is none.
func (s source) optional(ctx context.Context, ref policy.SecretRef) (secret.Value, error) {
	if ref == "" {
		return secret.Value{}, nil
	}
	return s.get(ctx, ref)
}

// fieldValue says that a header may have the value (RFC 9110 section 5.5).
func fieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
