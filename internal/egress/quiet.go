package egress

import (
	"net"
	"runtime"
	"time"
)

// mostUnrest is how long Quiet waits.
const mostUnrest = 50 * time.Millisecond

// Quiet waits until the transport listens on c, an HTTP/1 connection of a pool that
// it has taken out to use again, or has closed it. The transport puts a connection
// among the idle ones before it has looked whether bytes stand behind the answer,
// and once a request waits it takes them for that request's answer. While it
// listens there are none: a read begins when all that was read before is used up.
func Quiet(c net.Conn) {
	own := beneath(c)
	if own == nil {
		return
	}
	const spins = 200
	var since time.Time
	for i := 0; !own.reading.Load() && !own.closed.Load(); i++ {
		switch {
		case i < spins:
			runtime.Gosched()
			continue
		case i == spins:
			since = time.Now()
		case time.Since(since) > mostUnrest:
			return
		}
		time.Sleep(20 * time.Microsecond)
	}
}

func (c *conn) Read(p []byte) (int, error) {
	c.reading.Store(true)
	n, err := c.Conn.Read(p)
	c.reading.Store(false)
	return n, err
}
