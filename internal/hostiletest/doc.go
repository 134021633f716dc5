// Package hostiletest holds the service against upstreams that mean harm: raw
// sockets that flood, stall, lie about lengths, bomb and poison. Every row goes
// through both doors of the engine and ends by the limit or clock that is meant
// for it; the worst of them go to the real binary too, whose peak memory is read
// from the system. It has no code of its own and is never imported.
package hostiletest
