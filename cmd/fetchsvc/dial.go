package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// maxAnswer holds a response of 64 MiB, the ceiling, with its envelope.
const maxAnswer = 64<<20 + 8<<20

// clientOptions are the flags that say where the service is and who asks it.
type clientOptions struct {
	server string
	tlsOptions
	tokenFile string
	plaintext bool
}

func (o *clientOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.server, "server", defaultServer(), "`HOST:PORT` of the service's gRPC door (or set FETCHSVC_SERVER)")
	f.StringVar(&o.tokenFile, "token-file", "", "prove who calls by the API key or JWT in this `FILE` (or set FETCHSVC_TOKEN)")
	o.tlsOptions.flags(f)
	f.BoolVar(&o.plaintext, "unsafe-plaintext", false, "send the token to another machine although nothing encrypts it")
}

// dial makes a connection to the service's gRPC door. It is opened by the first
// call.
func (o *clientOptions) dial() (*grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(o.server)
	if err != nil {
		return nil, fmt.Errorf("--server %q: write HOST:PORT of the gRPC door, such as 127.0.0.1:9090", o.server)
	}
	options := []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithNoProxy(), // fetchsvc is where proxies are chosen, not behind one
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("fetchsvc/" + version),
	}
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	} else {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	token, err := o.token()
	switch {
	case err != nil:
		return nil, err
	case token.IsZero():
	case config == nil && !o.plaintext && !onLoopback(host):
		return nil, fmt.Errorf("--server %s: the token would cross the network in plaintext: give --tls or --ca FILE; where something else encrypts, give --unsafe-plaintext", o.server)
	default:
		options = append(options, grpc.WithPerRPCCredentials(bearer{token}))
	}
	conn, err := grpc.NewClient(o.server, options...)
	if err != nil {
		return nil, fmt.Errorf("--server %q: %w", o.server, err)
	}
	return conn, nil
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// token is what proves who calls; zero: there is none. No flag takes it: what
// stands on a command line, all users of a machine can read.
func (o *clientOptions) token() (secret.Value, error) {
	ref := "env:FETCHSVC_TOKEN"
	if o.tokenFile != "" {
		path, err := filepath.Abs(o.tokenFile)
		if err != nil {
			return secret.Value{}, fmt.Errorf("--token-file: %w", err)
		}
		ref = "file:" + path
	} else if os.Getenv("FETCHSVC_TOKEN") == "" {
		return secret.Value{}, nil
	}
	token, err := secret.New(secret.Config{}).Get(ref)
	if err != nil {
		return secret.Value{}, fmt.Errorf("the token: %w", err)
	}
	return token, nil
}

// bearer sends a token with each call (RFC 6750).
type bearer struct{ token secret.Value }

var _ credentials.PerRPCCredentials = bearer{}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token.Reveal()}, nil
}

// RequireTransportSecurity is judged by dial, which knows the way.
func (bearer) RequireTransportSecurity() bool { return false }

// tlsOptions are the flags of TLS with the service.
type tlsOptions struct {
	tls           bool
	ca, cert, key string
	name          string
}

func (o *tlsOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.tls, "tls", false, "speak TLS with the service, whose certificate a public authority signed")
	f.StringVar(&o.ca, "ca", "", "trust the authorities in this PEM `FILE` instead (implies --tls)")
	f.StringVar(&o.cert, "cert", "", "prove who calls by the certificate in this PEM `FILE` (implies --tls)")
	f.StringVar(&o.key, "key", "", "the private key of --cert, a PEM `FILE`")
	f.StringVar(&o.name, "tls-name", "", "the `HOST` that the service's certificate must be for (default: where it is called; implies --tls)")
}

// config is nil where nothing asks for TLS.
func (o *tlsOptions) config() (*tls.Config, error) {
	if (o.cert == "") != (o.key == "") {
		return nil, errors.New("--cert and --key: give both, the certificate and its private key")
	}
	if !o.tls && o.ca == "" && o.cert == "" && o.name == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.name}
	if o.ca != "" {
		text, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca %s: it holds no certificate as PEM", o.ca)
		}
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("--cert %s and --key %s: %w", o.cert, o.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// defaultServer is where the service is looked for.
func defaultServer() string {
	if s := os.Getenv("FETCHSVC_SERVER"); s != "" {
		return s
	}
	return "127.0.0.1:9090"
}
