//go:build !linux

package server

import "net"

// limitUnacked does nothing here: HTTP/2's pings find peers that are gone.
func limitUnacked(net.Conn) {}
