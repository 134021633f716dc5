package main

import (
	"context"
	"errors"
)

// interruptible runs what may block for as long as it likes: reading a terminal,
// writing to a pipe that nobody empties. Nothing wakes it. Interrupted, it is left
// behind and ends with the process, which ends at once.
func interruptible[T any](ctx context.Context, run func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := run()
		done <- result{value, err}
	}()
	select {
	case <-ctx.Done():
		var none T
		return none, interrupted()
	case r := <-done:
		return r.value, r.err
	}
}

func interrupted() error { return exit{errors.New("interrupted"), exitInterrupted} }
