package egress

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// Secrets gives the values behind policy's references. *secret.Store is one.
type Secrets interface {
	// Get gives a value of one line.
	Get(ref string) (secret.Value, error)
	// GetPEM gives one of several.
	GetPEM(ref string) (secret.Value, error)
}

const (
	// maxBundle is the largest bundle of authorities, in bytes; a system's has 0.2 MiB.
	maxBundle = 4 << 20
	// maxChain is the largest client certificate chain, in bytes.
	maxChain = 256 << 10
	// sessions is how many TLS sessions a pool may resume.
	sessions = 64
)

// material is what one side of TLS is made of. What comes from files is looked
// at before each handshake, so that it can be rotated under way.
type material struct {
	base    *tls.Config
	bundle  *secret.File // nil: base's authorities
	chain   *secret.File // nil: base's client certificate
	key     policy.SecretRef
	secrets Secrets
	log     *slog.Logger
	changed func() // called after a rotation; may be nil

	mu      sync.Mutex
	roots   uint64 // version of the bundle that current has
	pair    pairID
	badPair string // the last complaint about a pair, so as to log it once
	current *tls.Config
}

// pairID tells one client certificate from another.
type pairID struct {
	chain uint64
	key   [sha256.Size]byte
}

// newMaterial prepares what t asks for; base has what does not change.
func newMaterial(cfg Config, t policy.TLS, base *tls.Config) *material {
	m := &material{base: base, key: t.Key, secrets: cfg.Secrets, log: cfg.Log, current: base}
	base.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
	base.ServerName = t.ServerName
	base.MinVersion = max(t.MinVersion, base.MinVersion)
	if base.MinVersion == 0 {
		base.MinVersion = tls.VersionTLS12
	}
	base.InsecureSkipVerify = t.SkipVerify
	if len(t.Pins) > 0 {
		base.VerifyConnection = pinned(t.Pins, t.SkipVerify)
	}
	if t.CAFile != "" {
		m.bundle = &secret.File{Path: t.CAFile, Limit: maxBundle, Check: isBundle, Log: cfg.Log}
	}
	if t.CertFile != "" {
		m.chain = &secret.File{Path: t.CertFile, Limit: maxChain, Log: cfg.Log}
	}
	return m
}

// config gives the settings for a handshake with host, which are the caller's to
// keep. A rotated file takes effect here, and TLS sessions from before it are
// forgotten: resuming one would skip what the new file asks for.
func (m *material) config(host string) (*tls.Config, error) {
	cfg := m.base
	if m.bundle != nil || m.chain != nil {
		fresh, rotated, err := m.fresh()
		if err != nil {
			return nil, err
		}
		if rotated && m.changed != nil {
			m.changed()
		}
		cfg = fresh
	}
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	return cfg, nil
}

// fresh is config for what comes from files, and says whether they replaced others.
func (m *material) fresh() (cfg *tls.Config, rotated bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.current.Clone()
	roots, err := m.freshRoots(next)
	if err != nil {
		return nil, false, err
	}
	pair, err := m.freshPair(next)
	if err != nil {
		return nil, false, err
	}
	if roots == m.roots && pair == m.pair {
		return m.current, false, nil
	}
	rotated = m.current != m.base
	next.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
	m.roots, m.pair, m.current = roots, pair, next
	return next, rotated, nil
}

// freshRoots sets the authorities if there are new ones. A bundle that went bad
// leaves the last good one in force; its File logs that.
func (m *material) freshRoots(next *tls.Config) (uint64, error) {
	if m.bundle == nil {
		return 0, nil
	}
	r := m.bundle.Read()
	if r.Data == nil {
		return 0, fault.Wrap(fault.TLSCertUntrusted, r.Bad, "the policy's ca_file cannot be read, so no certificate can be trusted")
	}
	if r.Version != m.roots {
		next.RootCAs = x509.NewCertPool()
		next.RootCAs.AppendCertsFromPEM(r.Data)
	}
	return r.Version, nil
}

// freshPair sets the client certificate if there is a new one. A chain and a key
// that do not belong together are a rotation that goes on: the last good pair
// stays. A key that its store gives no more ends that: it may be revoked.
func (m *material) freshPair(next *tls.Config) (pairID, error) {
	if m.chain == nil {
		return pairID{}, nil
	}
	const cannot = "the policy's client certificate cannot be used"
	r := m.chain.Read()
	if r.Data == nil {
		return pairID{}, fault.Wrap(fault.TLSHandshake, r.Bad, cannot+": its cert_file cannot be read")
	}
	if m.secrets == nil {
		return pairID{}, fault.New(fault.TLSHandshake, cannot+": no source of secrets is set up")
	}
	key, err := m.secrets.GetPEM(string(m.key))
	if err != nil {
		return pairID{}, fault.Wrap(fault.TLSHandshake, err, cannot+": its key cannot be read")
	}
	id := pairID{r.Version, sha256.Sum256([]byte(key.Reveal()))}
	if id == m.pair {
		return id, nil
	}
	pair, err := tls.X509KeyPair(r.Data, []byte(key.Reveal()))
	if err != nil {
		return m.keepPair(err)
	}
	m.badPair = ""
	next.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return id, nil
}

func (m *material) keepPair(err error) (pairID, error) {
	if m.pair == (pairID{}) {
		return pairID{}, fault.Wrap(fault.TLSHandshake, err, "the policy's client certificate cannot be used: cert_file and key do not make a pair")
	}
	if m.log != nil && m.badPair != err.Error() {
		m.log.Error("a client certificate cannot be used; the last good one stays in use", "file", m.chain.Path, "error", err.Error())
	}
	m.badPair = err.Error()
	return m.pair, nil
}

// isBundle says whether data is a bundle of authorities, whole.
func isBundle(data []byte) error {
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return errors.New("it holds no certificate as PEM")
	}
	if n, m := bytes.Count(data, []byte("-----BEGIN ")), bytes.Count(data, []byte("-----END ")); n != m {
		return fmt.Errorf("it is torn: %d blocks begin and %d end", n, m)
	}
	return nil
}

// errPin is what a handshake fails with whose keys match no pin.
var errPin = errors.New("no pin matches")

// pinned refuses a connection whose verified chain holds none of the pins (RFC
// 7469 section 2.6). It runs on resumed sessions too. An unverified chain is
// whatever the peer likes to send, so then only the leaf counts, whose key the
// peer proved to have.
func pinned(pins [][32]byte, unverified bool) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		chains := cs.VerifiedChains
		if unverified {
			chains = [][]*x509.Certificate{cs.PeerCertificates[:min(1, len(cs.PeerCertificates))]}
		}
		for _, chain := range chains {
			for _, cert := range chain {
				if slices.Contains(pins, sha256.Sum256(cert.RawSubjectPublicKeyInfo)) {
					return nil
				}
			}
		}
		return errPin
	}
}
