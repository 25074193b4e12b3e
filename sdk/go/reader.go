package lfs

import (
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// blobReader reads a blob and verifies length and checksum on the way. The last bytes are handed out only
// after the whole blob was verified: until then, and on every read after a failure, the error stands where
// the end would be. ended is called once, with an error, io.EOF for a verified blob, or nil when closed early.
//
// A read that a panic breaks off (of a progress function, above all) may have lost bytes: result says so from
// its beginning, and only a read that comes to its end says otherwise.
type blobReader struct {
	envelope *Envelope
	source   *download
	sum      hash.Hash
	received int64
	result   error // io.EOF: verified; another error: failed; nil: not at the end yet
	closed   bool
	over     bool  // ended was called, or is being called
	broken   error // what result is during a read
	progress func(received int64)
	ended    func(received int64, result error)
}

func (r *blobReader) Read(into []byte) (int, error) {
	switch {
	case r.closed:
		return 0, fmt.Errorf("lfs: the blob is closed: %w", fs.ErrClosed)
	case r.result != nil:
		return 0, r.result
	case len(into) == 0:
		return 0, nil
	}
	r.result = r.broken
	n, err := r.next(into)
	if err != nil {
		clear(into[:n])
		r.finish(err)
		return 0, err
	}
	r.progress(r.received)
	if r.received == r.envelope.Length {
		r.finish(io.EOF)
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	r.result = nil
	return n, nil
}

// next gives n bytes, verified if they are the last. With an error the n bytes are not to be handed out.
func (r *blobReader) next(into []byte) (n int, err error) {
	length := r.envelope.Length
	if r.received < length {
		into = into[:min(int64(len(into)), length-r.received)]
		n, err = r.source.Read(into)
		r.received += int64(n)
		r.sum.Write(into[:n])
	}
	switch {
	case err == io.EOF:
		return n, failure(ErrTruncated, r.envelope, nil, "the blob %s ends after %d of %d bytes",
			r.source.name(), r.received, length)
	case err != nil || r.received < length:
		return n, err
	}
	return n, r.verify()
}

func (r *blobReader) verify() error {
	var beyond [1]byte
	switch _, err := r.source.Read(beyond[:]); {
	case err == nil:
		return failure(ErrTruncated, r.envelope, nil, "the blob %s has more than %d bytes",
			r.source.name(), r.envelope.Length)
	case err != io.EOF:
		return err
	}
	if actual := hexOf(r.sum); actual != r.envelope.Checksum {
		wrong := failure(ErrChecksumMismatch, r.envelope, nil, "the %s of the blob %s is %s, its envelope says %s",
			r.envelope.ChecksumAlgo, r.source.name(), actual, r.envelope.Checksum)
		wrong.Expected, wrong.Actual = r.envelope.Checksum, actual
		return wrong
	}
	return nil
}

func (r *blobReader) finish(result error) {
	r.over = true
	r.source.close()
	r.ended(r.received, result)
	r.result = result
}

// Close lets go of the connection. Before the end was reached it is no error, but no success either.
func (r *blobReader) Close() error {
	r.closed = true
	if !r.over {
		r.finish(r.result)
	}
	return nil
}

// largestAtOnce is how many bytes are set aside for a blob before any of them has come: a store that says a
// wrong length for a wrong envelope does not make a process fail that has set MaxSize to Unlimited.
const largestAtOnce = 1 << 30

// whole is everything. Memory is set aside at once only where the store, too, has said how long the blob is.
func (r *blobReader) whole() ([]byte, error) {
	if !r.source.sized || r.envelope.Length > largestAtOnce {
		return io.ReadAll(r)
	}
	data := make([]byte, r.envelope.Length)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	// A blob without bytes is verified by the read that finds its end.
	if _, err := io.ReadAll(r); err != nil {
		return nil, err
	}
	return data, nil
}
