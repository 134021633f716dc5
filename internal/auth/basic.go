package auth

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// basic is RFC 7617, in UTF-8.
type basic struct {
	source
	settled
	scheme *policy.Basic
}

func (b *basic) Sign(ctx context.Context, o *Outgoing) error {
	user, secretUser, err := b.username(ctx)
	if err != nil {
		return err
	}
	password, err := b.optional(ctx, b.scheme.Password)
	if err != nil {
		return err
	}
	pair := user + ":" + password.Reveal()
	coded := base64.StdEncoding.EncodeToString([]byte(pair))
	if err := b.put(o, "Authorization", "Basic "+coded); err != nil {
		return err
	}
	o.reveal(secret.NewValue(pair), secret.NewValue(coded)) // coded once more, it is no form of the pair
	for _, v := range []secret.Value{secretUser, password} {
		if !v.IsZero() {
			o.reveal(v)
		}
	}
	return nil
}

// username gives the user name, and again as the secret that it may be.
func (b *basic) username(ctx context.Context) (string, secret.Value, error) {
	v, err := b.optional(ctx, b.scheme.SecretUsername)
	if err != nil || b.scheme.SecretUsername == "" {
		return b.scheme.Username, v, err
	}
	if strings.Contains(v.Reveal(), ":") { // the password would begin there
		return "", v, b.cannot("its user name has a colon, which a Basic user name cannot have")
	}
	return v.Reveal(), v, nil
}
