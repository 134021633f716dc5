// Package doortest holds what hostile callers may do to the doors: rows of raw
// sockets against a real server, each with its answer or its end, and with a good
// caller who notices nothing. It has no code of its own and is never imported.
package doortest
