package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpu gives the user and system time that the child has used, to the
// nanosecond: a process's CPU clock counts what /proc rounds to 10 ms, and
// keeps what ended threads used.
func (c *child) cpu() (time.Duration, error) {
	if err := c.running(); err != nil {
		return 0, err
	}
	const scheduler = 2 // CPUCLOCK_SCHED of the whole process: clock_getcpuclockid(3)
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^c.cmd.Process.Pid<<3|scheduler), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", c.cmd, err)
	}
	return time.Duration(ts.Nano()), nil
}
