package main

import "errors"

// The exit codes. Where curl has one for the same thing, it is curl's.
const (
	exitOther       = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitDenied      = 4
	exitNoService   = 5
	exitUpstream    = 6
	exitStatus      = 22
	exitTimeout     = 28
	exitInterrupted = 130
)

// exitHelp says the same to people.
const exitHelp = `Exit codes:
  0    the upstream answered, whatever its status
  1    something else went wrong, such as an answer that could not be written
  2    the command line is wrong
  3    the request cannot be sent as written
  4    policy denies the call, or fetchsvc does not know who makes it
  5    fetchsvc itself cannot be reached, or is stopping
  6    the upstream gave no usable answer
  22   the upstream answered 400 or more and --fail was given
  28   a timeout
  130  interrupted`

// exit is an error that chooses the exit code.
type exit struct {
	error
	code int
}

func (e exit) Unwrap() error { return e.error }

// exitCode is 2 for a wrong command line, else what the error chose.
func exitCode(err error) int {
	var e exit
	if errors.As(err, &e) {
		return e.code
	}
	return exitUsage
}
