package fetch

import "sync/atomic"

const (
	// keptBlock is how much a spool grows at once.
	keptBlock = 16 << 10
	// mostKept is how much all spools of an engine keep together. Beyond it, uploads
	// go on and are not tried again.
	mostKept = 256 << 20
)

// kept is what a spool keeps, in blocks: growing copies nothing.
type kept struct {
	blocks [][]byte
	size   int
	all    *atomic.Int64 // of the engine
}

// add keeps p.
func (k *kept) add(p []byte) {
	for len(p) > 0 {
		last := len(k.blocks) - 1
		if last < 0 || len(k.blocks[last]) == keptBlock {
			k.blocks = append(k.blocks, make([]byte, 0, keptBlock))
			k.all.Add(keptBlock)
			last++
		}
		n := min(len(p), keptBlock-len(k.blocks[last]))
		k.blocks[last] = append(k.blocks[last], p[:n]...)
		k.size += n
		p = p[n:]
	}
}

// read copies what is kept from at on, as far as a block goes.
func (k *kept) read(p []byte, at int) int {
	return copy(p, k.blocks[at/keptBlock][at%keptBlock:])
}

// crowded says that all spools together keep as much as they may.
func (k *kept) crowded() bool { return k.all.Load() >= mostKept }

// drop forgets everything.
func (k *kept) drop() {
	k.all.Add(-int64(len(k.blocks)) * keptBlock)
	k.blocks, k.size = nil, 0
}
