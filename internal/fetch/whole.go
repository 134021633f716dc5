package fetch

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/fault"
	"github.com/fetchsvc/fetchsvc/internal/policy"
)

// digestible reads an upload whole where the hop's credential digests the body,
// which then is in memory and can be sent again. It must fit into what policy keeps
// of one (retry.spool).
func (c *Call) digestible(ctx context.Context) error {
	up, streamed := c.hop.body.(Upload)
	p := c.hop.chain.proofs
	if !streamed || p == nil {
		return nil
	}
	cred := c.credential(c.hop)
	if cred == nil || !p.signers[cred].Needs().Body {
		return nil
	}
	most := c.hop.retry.Spool
	if up.Size() > most {
		return undigested(cred.Name, most)
	}
	data, err := c.readUpload(ctx, up, most)
	switch {
	case err != nil:
		return err
	case int64(len(data)) > most:
		return undigested(cred.Name, most)
	}
	c.hop.body = Bytes(data)
	c.tries.limit(time.Now(), c.tries.total) // its time begins with the upload's end
	return nil
}

func undigested(cred string, most int64) error {
	return fault.Newf(fault.RequestTooLarge, "credential %q signs the body's digest, so the upload is read whole before it is sent, and policy keeps %s of one: send less, have retry.spool raised, or use a scheme that does not sign the body",
		cred, policy.FormatSize(most))
}

// readUpload reads up to one byte more than most. A caller that stands still for
// the idle clock has not finished.
func (c *Call) readUpload(ctx context.Context, up Upload, most int64) ([]byte, error) {
	idle := c.hop.limits.idle
	if idle <= 0 {
		idle = streamIdle
	}
	r := up.Open()
	late := time.AfterFunc(idle, func() { _ = r.Close() })
	defer late.Stop()
	stop := context.AfterFunc(ctx, func() { _ = r.Close() })
	defer stop()
	var data []byte
	chunk := make([]byte, 32<<10)
	for int64(len(data)) <= most {
		n, err := r.Read(chunk)
		data = append(data, chunk[:n]...)
		switch {
		case err == io.EOF:
			return data, nil
		case ctx.Err() != nil:
			return nil, ended(ctx)
		case errors.Is(err, errBroken):
			return nil, fault.New(fault.UploadIncomplete, "the caller sent nothing of the upload for longer than the idle clock of "+idle.String())
		case err != nil:
			return nil, err
		}
		late.Reset(idle)
	}
	return data, nil
}
