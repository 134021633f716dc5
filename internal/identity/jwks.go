package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

const (
	// maxJWKS is the largest set of keys that is read, in bytes, and maxKeys how many
	// it may hold.
	maxJWKS = 256 << 10
	maxKeys = 100
)

// key is a public key of an issuer.
type key struct {
	id string
	// alg is the one algorithm that it is for; empty: any of its kind.
	alg    string
	public any // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// fits says that signatures by alg are made with such a key. It is what keeps a key
// of one kind from being taken for one of another.
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg && (k.alg != "Ed25519" || alg != "EdDSA") { // RFC 9864 renames it
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == curves[public.Params().Name].alg
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// curve is one of RFC 7518 section 6.2.1.1, by its name there and in crypto/elliptic.
type curve struct {
	alg   string
	curve elliptic.Curve
}

var curves = map[string]curve{
	"P-256": {"ES256", elliptic.P256()},
	"P-384": {"ES384", elliptic.P384()},
	"P-521": {"ES512", elliptic.P521()},
}

// parseJWKS reads a JWK Set (RFC 7517). Keys that cannot be used are passed over,
// as section 5 asks; a set without any that can is an error, and says why.
func parseJWKS(data []byte) ([]key, error) {
	if len(data) > maxJWKS {
		return nil, fmt.Errorf("the set is larger than %d bytes", maxJWKS)
	}
	set, err := readObject(data)
	if err != nil {
		return nil, fmt.Errorf("the set cannot be read: %w", err)
	}
	members, ok := set["keys"].([]any)
	switch {
	case !ok:
		return nil, errors.New(`the set has no list "keys"`)
	case len(members) > maxKeys:
		return nil, fmt.Errorf("the set has %d keys: at most %d are taken", len(members), maxKeys)
	}
	var keys []key
	var faults []string
	for i, m := range members {
		object, _ := m.(map[string]any)
		k, err := parseKey(object)
		if err != nil {
			faults = append(faults, fmt.Sprintf("keys[%d]: %v", i, err))
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the set's %d keys can be used: %s", len(members), clip(strings.Join(faults, "; ")))
	}
	return keys, nil
}

func parseKey(m map[string]any) (k key, err error) {
	text := func(name string) string {
		s, _ := m[name].(string)
		return s
	}
	k.id, k.alg = text("kid"), text("alg")
	use, isFor := text("use"), m["key_ops"]
	operations, _ := isFor.([]any)
	_, private := m["d"]
	switch {
	case private:
		return k, errors.New("it holds its private part, so anybody may have it")
	case m["use"] != nil && use != "sig":
		return k, errors.New("it is not for signatures")
	case isFor != nil && !slices.Contains(operations, any("verify")):
		return k, errors.New("its key_ops have no verify")
	}
	switch kind := text("kty"); kind {
	case "RSA":
		k.public, err = parseRSA(text("n"), text("e"))
	case "EC":
		k.public, err = parseEC(text("crv"), text("x"), text("y"))
	case "OKP":
		k.public, err = parseOKP(text("crv"), text("x"))
	case "":
		err = errors.New("it has no kty")
	default:
		err = fmt.Errorf("kty %q is not RSA, EC or OKP", clip(kind))
	}
	return k, err
}

// parseRSA takes 2048 bits and more, as RFC 7518 section 3.3 asks; above 8192 a
// signature takes too long to judge.
func parseRSA(modulus, exponent string) (*rsa.PublicKey, error) {
	n, err := decode(modulus)
	if err != nil {
		return nil, err
	}
	e, err := decode(exponent)
	if err != nil {
		return nil, err
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	power := new(big.Int).SetBytes(e)
	switch bits := public.N.BitLen(); {
	case bits < 2048 || bits > 8192:
		return nil, fmt.Errorf("an RSA key of %d bits: 2048 to 8192 are taken", bits)
	case public.N.Bit(0) == 0:
		return nil, errors.New("its modulus is even")
	case power.BitLen() > 31 || power.Bit(0) == 0 || power.Int64() < 3:
		return nil, errors.New("its exponent is not an odd number from 3 to 2147483647")
	}
	public.E = int(power.Int64())
	return public, nil
}

func parseEC(name, x, y string) (*ecdsa.PublicKey, error) {
	c, known := curves[name]
	if !known {
		return nil, fmt.Errorf("curve %q is not P-256, P-384 or P-521", clip(name))
	}
	size := (c.curve.Params().BitSize + 7) / 8
	px, errX := decode(x)
	py, errY := decode(y)
	if errX != nil || errY != nil || len(px) != size || len(py) != size {
		return nil, fmt.Errorf("its coordinates are not %d bytes each", size)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(c.curve, slices.Concat([]byte{4}, px, py))
	if err != nil {
		return nil, errors.New("its point is not on the curve")
	}
	return public, nil
}

func parseOKP(name, x string) (ed25519.PublicKey, error) {
	public, err := decode(x)
	switch {
	case name != "Ed25519":
		return nil, fmt.Errorf("curve %q is not Ed25519", clip(name))
	case err != nil || len(public) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("its public part is not %d bytes", ed25519.PublicKeySize)
	}
	return public, nil
}

// decode reads base64url without padding, and one spelling of each value only (RFC
// 7515 section 2). Go's decoder would skip line breaks.
func decode(s string) ([]byte, error) {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("it is not base64url")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("it is not base64url")
	}
	return data, nil
}
