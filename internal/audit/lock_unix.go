//go:build unix && !solaris && !illumos && !aix

package audit

import (
	"errors"
	"os"
	"syscall"
)

// lock keeps other processes from writing f, until it is closed.
func lock(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOSYS):
			return nil // a file system without locks
		default:
			return err
		}
	}
}
