package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// TLSFiles are the PEM files that the doors' TLS is made of.
type TLSFiles struct {
	// Cert is the certificate with its intermediates, Key its private key. Required.
	Cert, Key string
	// ClientCA are the authorities of client certificates. A client may bring one or
	// not; one that none of them signed ends the handshake. Empty: none is asked for.
	ClientCA string
	// Log hears of rotations, and of files that cannot be used. Required.
	Log *slog.Logger
}

// TLS is what both doors speak, from 1.2 on. Its files are looked at on use, and a
// change is in force from the next handshake on; what cannot be used leaves in
// force what was. Safe for concurrent use.
type TLS struct {
	cert, key, clientCA *secret.File // clientCA: nil without one
	log                 *slog.Logger

	mu     sync.Mutex // held while reading
	born   time.Time
	looked atomic.Int64 // when the files were, in nanoseconds after born
	state  atomic.Pointer[tlsState]
}

// lookEvery is the least time between two looks at the files.
const lookEvery = time.Second

// tlsState is TLS as the files were at one time.
type tlsState struct {
	versions    [3]uint64 // of cert, key, clientCA
	leaf        *x509.Certificate
	configs     [restDoor + 1]*tls.Config
	authorities map[string]bool // by certificate; empty without ClientCA
}

// maxPEM is the largest file, in bytes; the bundle of a system's authorities has
// 0.2 MiB.
const maxPEM = 4 << 20

// protocols are what each door speaks inside TLS (RFC 7301).
var protocols = [...][]string{grpcDoor: {"h2"}, restDoor: {"h2", "http/1.1"}}

// NewTLS reads the files.
func NewTLS(files TLSFiles) (*TLS, error) {
	t := &TLS{log: files.Log, born: time.Now()}
	var err error
	if t.cert, err = pemFile(files.Cert); err != nil {
		return nil, err
	}
	if t.key, err = pemFile(files.Key); err != nil {
		return nil, err
	}
	if files.ClientCA != "" {
		if t.clientCA, err = pemFile(files.ClientCA); err != nil {
			return nil, err
		}
		t.clientCA.Check = func(data []byte) error {
			_, err := authorities(data)
			return err
		}
	}
	first, err := t.read(nil)
	if err != nil {
		return nil, err
	}
	t.state.Store(first)
	for _, f := range t.files() { // what is wrong at first is the error
		f.Log = files.Log
	}
	return t, nil
}

func pemFile(path string) (*secret.File, error) {
	path, err := filepath.Abs(path)
	return &secret.File{Path: path, Limit: maxPEM, Every: 1}, err // fresh says when
}

// files are cert, key, and clientCA if there is one.
func (t *TLS) files() []*secret.File {
	if t.clientCA == nil {
		return []*secret.File{t.cert, t.key}
	}
	return []*secret.File{t.cert, t.key, t.clientCA}
}

// fresh is what the files hold now, as far as it can be used. Who comes while
// another looks does not wait.
func (t *TLS) fresh() *tlsState {
	now := int64(time.Since(t.born))
	if now-t.looked.Load() < int64(lookEvery) || !t.mu.TryLock() {
		return t.state.Load()
	}
	defer t.mu.Unlock()
	t.looked.Store(now)
	before := t.state.Load()
	s, err := t.read(before)
	t.state.Store(s)
	switch {
	case err != nil:
		t.log.Error("the doors' certificate cannot be renewed; the one before stays in use", "error", err.Error())
	case s != before:
		t.log.Info("TLS of the doors was renewed", "file", t.cert.Path, "expires", s.leaf.NotAfter.Format(time.RFC3339))
	}
	return s
}

// read makes a state of the files; where nothing changed it is before. A
// certificate and a key that do not belong together are a rotation that goes on:
// the pair before stays, and with it comes the error.
func (t *TLS) read(before *tlsState) (*tlsState, error) {
	var data [3][]byte
	s := &tlsState{}
	for i, f := range t.files() {
		r := f.Read()
		if r.Data == nil {
			return nil, unusable(f.Path, r.Bad) // never later than at first
		}
		data[i], s.versions[i] = r.Data, r.Version
	}
	if before != nil && s.versions == before.versions {
		return before, nil
	}
	pair, err := tls.X509KeyPair(data[0], data[1])
	if err != nil {
		err = fmt.Errorf("%s and %s are no certificate and its key: %w", t.cert.Path, t.key.Path, err)
		if before == nil {
			return nil, err
		}
		pair = before.configs[grpcDoor].Certificates[0]
	}
	s.use(pair, data[2])
	return s, err
}

// unusable names the file, unless the error does.
func unusable(path string, err error) error {
	if _, named := errors.AsType[*fs.PathError](err); named || strings.Contains(err.Error(), path) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// use fills s; bundle was checked, and is nil where no client is asked.
func (s *tlsState) use(pair tls.Certificate, bundle []byte) {
	s.leaf, s.authorities = pair.Leaf, map[string]bool{}
	base := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if bundle != nil {
		base.ClientAuth, base.ClientCAs = tls.VerifyClientCertIfGiven, x509.NewCertPool()
		all, _ := authorities(bundle)
		for _, a := range all {
			base.ClientCAs.AddCert(a)
			s.authorities[string(a.Raw)] = true
		}
	}
	for d := range s.configs {
		s.configs[d] = base.Clone()
		s.configs[d].NextProtos = protocols[d]
	}
}

// config is for the listener of d.
func (t *TLS) config(d door) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols[d],
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.fresh().configs[d], nil },
	}
}

// trusted gives the first chain that counts now. A connection lives long, and
// sessions are resumed: meanwhile a certificate may have run out, or its authority
// been taken away.
func (t *TLS) trusted(chains [][]*x509.Certificate) ([]*x509.Certificate, error) {
	if len(chains) == 0 {
		return nil, nil
	}
	s, now := t.fresh(), time.Now()
	for _, chain := range chains {
		if len(chain) > 0 && s.authorities[string(chain[len(chain)-1].Raw)] && current(chain, now) {
			return chain, nil
		}
	}
	return nil, fault.New(fault.Unauthenticated,
		"the client certificate of this connection ran out, or its authority is trusted no more: connect again with a new one")
}

func current(chain []*x509.Certificate, now time.Time) bool {
	for _, c := range chain {
		if now.After(c.NotAfter) || now.Before(c.NotBefore) {
			return false
		}
	}
	return true
}

// named says that the certificate is for host.
func (t *TLS) named(host string) bool {
	return t.state.Load().leaf.VerifyHostname(host) == nil
}

// authorities reads a bundle, whole.
func authorities(data []byte) (all []*x509.Certificate, err error) {
	begun := bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----"))
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate number %d cannot be read: %w", len(all)+1, err)
		}
		all = append(all, cert)
	}
	switch {
	case len(all) != begun:
		return nil, fmt.Errorf("it is torn: %d certificates begin and %d are whole", begun, len(all))
	case begun == 0:
		return nil, errors.New("it holds no certificate as PEM")
	}
	return all, nil
}
