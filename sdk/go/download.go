package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// longestPause between two tries, unless Pause of [Config] is longer.
const longestPause = 5 * time.Second

// download is one blob's bytes in their order, not verified. A dropped connection is followed by a GET from the
// next byte on, tied to the same object by its ETag. Tries are counted from the last progress.
type download struct {
	ctx      context.Context
	client   *Client
	envelope *Envelope
	record   *Coordinates

	body       io.ReadCloser // nil: no GET is open
	silence    *time.Timer   // ends the open GET when the store sends nothing for too long
	stop       context.CancelCauseFunc
	request    context.Context
	etag       string
	sized      bool // the store has said that the blob is as long as its envelope says
	position   int64
	sent       int // GETs
	failures   int // GETs since the last progress
	progressed time.Time
}

var errSilent = errors.New("the store sent nothing for too long")

// start sends the GET, unless one is open. The error is an [Error], or wraps the context's.
func (d *download) start() error {
	for d.body == nil {
		if d.ctx.Err() != nil {
			return d.ended()
		}
		err := d.open()
		if err == nil {
			return nil
		}
		d.close()
		if err := d.pause(err); err != nil {
			return err
		}
	}
	return nil
}

// Read gives the next bytes; io.EOF at the end of what the store sends. Other errors are as start's.
func (d *download) Read(into []byte) (int, error) {
	for {
		if d.ctx.Err() != nil { // a source of the caller's own may not look at it
			return 0, d.ended()
		}
		if err := d.start(); err != nil {
			return 0, err
		}
		d.silence.Reset(d.client.config.ReadTimeout)
		n, err := d.body.Read(into)
		d.silence.Stop()
		if n > 0 {
			d.failures = 0
			d.progressed = time.Now()
			d.position += int64(n)
			return n, nil
		}
		if err == io.EOF || (err != nil && d.position == d.envelope.Length && d.ctx.Err() == nil) {
			return 0, io.EOF // with every byte here, what the connection did afterwards does not matter
		}
		if err != nil {
			err = d.said(err)
			d.close()
			if err := d.pause(err); err != nil {
				return 0, err
			}
		}
	}
}

// close lets go of the connection; it is reused when the response was read to its end.
func (d *download) close() {
	if d.stop == nil {
		return
	}
	d.silence.Stop()
	if d.body != nil {
		d.body.Close() //nolint:errcheck // nothing is to be had from a body that is given up
	}
	d.stop(nil)
	d.body, d.stop = nil, nil
}

func (d *download) open() error {
	d.request, d.stop = context.WithCancelCause(d.ctx)
	stop := d.stop
	d.silence = time.AfterFunc(d.client.config.ReadTimeout, func() { stop(errSilent) })
	d.sent++
	response, err := d.client.source.Get(d.request, GetRequest{*d.envelope, d.record, d.position, d.etag})
	d.silence.Stop()
	if err != nil {
		return d.said(err)
	}
	d.body = response.Body
	if response.Length >= 0 {
		if all := response.Length + d.position; all != d.envelope.Length {
			return failure(ErrTruncated, d.envelope, nil, "the blob %s has %d bytes, its envelope says %d",
				d.name(), all, d.envelope.Length)
		}
		d.sized = true
	}
	d.etag = response.ETag
	return nil
}

// said names a store's silence as the cause of an error.
func (d *download) said(err error) error {
	if context.Cause(d.request) == errSilent {
		return errSilent
	}
	return err
}

// final gives the error after which no other try helps, or nil.
func (d *download) final(err error) *Error {
	var told *Error
	if errors.As(err, &told) && told.Envelope != nil {
		return told
	}
	var what kind
	if errors.As(err, &what) {
		return failure(what, d.envelope, err, "the blob %s cannot be read: %s", d.name(), err)
	}
	if told != nil {
		return failure(told.Kind, d.envelope, err, "%s", told.Message)
	}
	return nil
}

// pause waits before the next try. It returns an error that trying again does not help, the context's, or
// ErrStoreUnavailable after the last try.
func (d *download) pause(err error) error {
	if d.ctx.Err() != nil {
		return d.ended()
	}
	if told := d.final(err); told != nil {
		return told
	}
	config := &d.client.config
	d.failures++
	longest := min(max(longestPause, config.Pause), config.Pause<<min(d.failures-1, 16))
	pause := time.Duration(float64(longest) * (0.5 + rand.Float64()/2))
	late := config.RetryTime > 0 && time.Since(d.progressed)+pause > config.RetryTime
	if d.failures >= config.Tries || late {
		return failure(ErrStoreUnavailable, d.envelope, err, "the blob %s cannot be read after %d tries: %s",
			d.name(), d.failures, err)
	}
	if d.client.pause(d.ctx, pause) != nil {
		return d.ended()
	}
	return nil
}

func (d *download) ended() error {
	return fmt.Errorf("lfs: reading the blob %s: %w", d.name(), endOf(d.ctx))
}

// endOf is the error of a context that has ended, with its cause where that is another one.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

func (d *download) name() string { return d.envelope.Bucket + "/" + d.envelope.Key }

// sleep waits, or returns the context's error when that ends first.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
