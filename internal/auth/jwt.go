package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// jwtMethods are the algorithms of assertions (RFC 7518 section 3.1, RFC 8037).
var jwtMethods = map[string]jwt.SigningMethod{
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": jwt.SigningMethodPS256, "PS384": jwt.SigningMethodPS384, "PS512": jwt.SigningMethodPS512,
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA,
}

// assertion signs claims by a key of the policy, and adds when it was made, how long
// it is good and what makes it the only one of its kind (RFC 7523 section 3).
func (s source) assertion(ctx context.Context, key policy.SigningKey, life time.Duration, claims map[string]any) (string, error) {
	text, err := s.pem(ctx, key.Key)
	if err != nil {
		return "", err
	}
	signed, err := signJWT([]byte(text.Reveal()), key.Algorithm, key.KeyID, s.stamped(life, claims))
	if err != nil {
		return "", s.cannot("its key signs nothing: %s", err.Error())
	}
	return signed, nil
}

// stamped adds iat, exp and jti.
func (s source) stamped(life time.Duration, claims map[string]any) jwt.MapClaims {
	now := s.Now()
	claims["iat"], claims["exp"], claims["jti"] = now.Unix(), now.Add(life).Unix(), rand.Text()
	return claims
}

// signJWT makes a JWT. An empty algorithm is the key's own. Errors quote nothing.
func signJWT(key []byte, algorithm, id string, claims jwt.MapClaims) (string, error) {
	private, err := parseKey(key)
	if err != nil {
		return "", err
	}
	own, family := algorithmsOf(private)
	if own == "" {
		return "", errors.New("it is of no kind that signs JWTs: use RSA with 2048 bits or more, EC on P-256, P-384 or P-521, or Ed25519")
	}
	if algorithm == "" {
		algorithm = own
	}
	if !strings.Contains(family, algorithm) {
		return "", errors.New("algorithm " + algorithm + " does not fit it, which signs by " + family)
	}
	t := jwt.NewWithClaims(jwtMethods[algorithm], claims)
	if id != "" {
		t.Header["kid"] = id
	}
	signed, err := t.SignedString(private)
	if err != nil {
		return "", errors.New("algorithm " + algorithm + " cannot use it")
	}
	return signed, nil
}

// algorithmsOf says which algorithm is a key's own, and which it can do.
func algorithmsOf(key crypto.Signer) (own, family string) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return "RS256", "RS256, RS384, RS512, PS256, PS384, PS512"
		}
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return "ES256", "ES256"
		case 384:
			return "ES384", "ES384"
		case 521:
			return "ES512", "ES512"
		}
	case ed25519.PrivateKey:
		return "EdDSA", "EdDSA"
	}
	return "", ""
}

// parseKey reads a private key in PEM: PKCS #8, PKCS #1 or SEC 1. Blocks before it,
// such as the parameters that openssl writes, are passed over.
func parseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("it is encrypted: store it without a passphrase")
		default:
			continue
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("its PEM block " + block.Type + " holds no private key that can be read without a passphrase")
		}
		return signer, nil
	}
	return nil, errors.New("there is no PEM block with a private key in it (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")
}
