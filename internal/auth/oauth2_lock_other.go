//go:build !unix || solaris || illumos || aix

package auth

import "context"

// lockFile does nothing where there is no flock: a state file must be one
// process's.
func lockFile(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// syncFolder has nothing to do here.
func syncFolder(string) error { return nil }
