package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
)

// doorOptions are the flags that say who may come in, and how.
type doorOptions struct {
	cert, key, clientCA string
	names               []string
	plaintext           bool
	// bounds are what clients may take of the doors.
	bounds server.Bounds
	// local keeps the doors on this machine.
	local bool
}

func (o *doorOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.cert, "tls-cert", "", "serve both doors by TLS with the certificate in this PEM `FILE`, intermediates behind it; read again when it changes")
	f.StringVar(&o.key, "tls-key", "", "the private key of --tls-cert, a PEM `FILE`; read again when it changes")
	f.StringVar(&o.clientCA, "client-ca", "", "take client certificates that the authorities in this PEM `FILE` signed; read again when it changes")
	f.StringArrayVar(&o.names, "rest-name", nil, "a `HOST` by which callers know the REST door, beside its address and the names in --tls-cert (repeatable)")
	f.BoolVar(&o.plaintext, "unsafe-plaintext", false, "listen without TLS on addresses that other machines reach: whoever is in between reads keys, tokens and bodies")
	f.IntVar(&o.bounds.Connections, "max-connections", 10_000, "how many connections each door has open at once, a `NUMBER`; one more is closed")
	f.IntVar(&o.bounds.PerAddress, "max-connections-per-address", 5000, "the same for one client address, a `NUMBER`, so that one client cannot hold a door; a load balancer is one address too; 0 is no bound")
	f.DurationVar(&o.bounds.ConnectionAge, "max-connection-age", 30*time.Minute, "how old a gRPC connection becomes until its client is asked to make another; 0 is no bound")
}

func (o *doorOptions) conflicts() error {
	switch {
	case (o.cert == "") != (o.key == ""):
		return errors.New("--tls-cert and --tls-key: give both, the certificate and its private key")
	case o.clientCA != "" && o.cert == "":
		return errors.New("--client-ca: client certificates come by TLS: add --tls-cert FILE and --tls-key FILE")
	case o.plaintext && o.cert != "":
		return errors.New("--unsafe-plaintext and --tls-cert: both doors speak TLS or neither does; give one of them")
	}
	if err := o.boundsConflicts(); err != nil {
		return err
	}
	for _, name := range o.names {
		if _, err := netip.ParseAddr(name); err != nil && (name == "" || strings.ContainsAny(name, ":/*[]@ ")) {
			return fmt.Errorf("--rest-name %q: write a host alone, such as fetchsvc.internal, without scheme and port", name)
		}
	}
	return nil
}

func (o *doorOptions) boundsConflicts() error {
	b := o.bounds
	switch {
	case b.Connections < 1:
		return fmt.Errorf("--max-connections %d: a door without connections serves nobody: give 1 or more", b.Connections)
	case b.PerAddress < 0:
		return fmt.Errorf("--max-connections-per-address %d: give 1 or more, or 0 for no bound", b.PerAddress)
	case b.ConnectionAge < 0 || b.ConnectionAge > 0 && b.ConnectionAge < time.Second:
		return fmt.Errorf("--max-connection-age %v: give 1s or more, or 0 for no bound", b.ConnectionAge)
	}
	return nil
}

// tls reads what the doors' TLS is made of; nil: they speak plaintext.
func (o *doorOptions) tls(log *slog.Logger) (*server.TLS, error) {
	if o.cert == "" {
		return nil, nil
	}
	t, err := server.NewTLS(server.TLSFiles{Cert: o.cert, Key: o.key, ClientCA: o.clientCA, Log: log})
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}

// bound gives the bounds as the server takes them, where 0 is the default.
func (o *doorOptions) bound() server.Bounds {
	b := o.bounds
	if b.Connections > 0 && b.ConnectionAge == 0 { // it was given: dev has no such flags
		b.ConnectionAge = -1
	}
	return b
}

// doors are the listeners of a running service.
type doors struct {
	*doorOptions
	open []namedDoor
}

type namedDoor struct {
	flag, addr string
	listener   net.Listener
}

// own are the addresses of the doors, where no call may lead.
func (d *doors) own() func() []netip.AddrPort {
	var all []net.Listener
	for _, door := range d.open {
		all = append(all, door.listener)
	}
	return egress.Listening(all...)
}

// listen opens a door where s lets it stand.
func (d *doors) listen(flag, addr string, s *policy.Snapshot) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: write HOST:PORT, such as 127.0.0.1:9090", flag, addr)
	}
	ip := net.ParseIP(host)
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		if err := d.mayReach(flag, addr, s); err != nil {
			return nil, err
		}
	}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, exit{fmt.Errorf("--%s %s: %w; choose another port with --%s", flag, addr, err, flag), exitOther}
	}
	door := namedDoor{flag, addr, lis}
	if door.reachable() { // localhost is what the resolver says
		if err := d.mayReach(flag, addr, s); err != nil {
			_ = lis.Close()
			return nil, err
		}
	}
	d.open = append(d.open, door)
	return lis, nil
}

// reachable says that other machines may reach the door.
func (n namedDoor) reachable() bool {
	tcp, ok := n.listener.Addr().(*net.TCPAddr)
	return !ok || !tcp.IP.IsLoopback()
}

// accept says whether s may be in force behind the doors that are open.
func (d *doors) accept(s *policy.Snapshot) error {
	for _, door := range d.open {
		if door.reachable() {
			if err := d.mayReach(door.flag, door.addr, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayReach says why others than this machine must not reach a door under s.
func (d *doors) mayReach(flag, addr string, s *policy.Snapshot) error {
	switch {
	case d.local:
		return fmt.Errorf("--%s %s: this is for one machine: listen on 127.0.0.1 or [::1], or run `fetchsvc serve`", flag, addr)
	case len(s.Proofs.Callers) == 0 && !s.Proofs.AllowAnonymous:
		return fmt.Errorf("--%s %s: the policy names no callers, so anyone who reaches this address could call: "+
			"list `callers` with what each proves itself by, or listen on 127.0.0.1 or [::1]; "+
			"where something else keeps strangers out, set `unsafe_allow_anonymous: true`", flag, addr)
	case d.cert == "" && !d.plaintext:
		return fmt.Errorf("--%s %s: keys, tokens and bodies would cross the network in plaintext: give --tls-cert FILE and --tls-key FILE; "+
			"where something else encrypts, such as a service mesh, give --unsafe-plaintext", flag, addr)
	}
	return nil
}

// close frees the doors that nobody serves.
func (d *doors) close() {
	for _, door := range d.open {
		_ = door.listener.Close()
	}
}
