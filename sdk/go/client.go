package lfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
)

// Client resolves record values: an envelope to the blob behind it, anything else to itself. It is made by
// [New] or [FromEnvironment], and may be shared by goroutines.
type Client struct {
	config Config
	source Source
	// checksPlace: buckets and prefixes hold. Not where the proxy decides by the record.
	checksPlace bool
	pause       func(context.Context, time.Duration) error
}

// Info says what a value was.
type Info struct {
	// Envelope is nil where the value was an ordinary one, or nil (a tombstone).
	Envelope *Envelope
	// Missing is true where the blob is not in the store, and OnMissing is Skip or KeepEnvelope.
	Missing bool
}

// Blob is what [Client.Open] gives for a value.
type Blob struct {
	// Stream gives the blob's bytes, or those of an ordinary value, or with KeepEnvelope the envelope's. It is
	// nil for a nil value (a tombstone), and for a missing blob that is skipped: then Missing is true.
	//
	// It ends with io.EOF only when every byte was there and right. Where the end of a wrong blob would be,
	// Read returns ErrTruncated, ErrChecksumMismatch or ErrStoreUnavailable, and the last bytes are not handed
	// out: do not act upon the first ones before the end has come.
	Stream io.ReadCloser
	Info
}

// Close closes the stream, where there is one. Before its end that is neither success nor failure.
func (b *Blob) Close() error {
	if b.Stream == nil {
		return nil
	}
	return b.Stream.Close()
}

// Open gives the blob behind an envelope as a stream; any other value as it is. Memory does not grow with the
// blob. The context holds for the stream, too. Use the stream from one goroutine only, and close the Blob.
//
// The error is an [Error] of one of the package's kinds, or wraps the context's.
func (c *Client) Open(ctx context.Context, value []byte, options ...ReadOption) (*Blob, error) {
	envelope, err := ParseEnvelope(value)
	if err != nil {
		return nil, err
	}
	stream, info, err := c.open(ctx, envelope, c.config.MaxSize, readOptionsOf(options))
	if err != nil {
		return nil, err
	}
	if stream != nil {
		return &Blob{stream, info}, nil
	}
	if given := c.instead(value, info); given != nil {
		return &Blob{io.NopCloser(bytes.NewReader(given)), info}, nil
	}
	return &Blob{nil, info}, nil
}

// Fetch gives the blob behind an envelope; any other value as it is, nil as nil. The blob is held in memory: one
// of more than MaxSize of [Config] is refused, where that is not set one of more than DefaultMaxFetch bytes.
// Errors are as those of Open, and of its stream. With OnMissing Skip a missing blob is nil, and Missing tells
// it from a tombstone.
func (c *Client) Fetch(ctx context.Context, value []byte, options ...ReadOption) ([]byte, Info, error) {
	envelope, err := ParseEnvelope(value)
	if err != nil {
		return nil, Info{}, err
	}
	return c.fetch(ctx, value, envelope, readOptionsOf(options))
}

func (c *Client) fetch(ctx context.Context, value []byte, envelope *Envelope, options readOptions) ([]byte, Info, error) {
	blob, info, err := c.open(ctx, envelope, c.maxFetch(), options)
	if err != nil {
		return nil, info, err
	}
	if blob == nil {
		return c.instead(value, info), info, nil
	}
	defer blob.Close() //nolint:errcheck // is nil always
	data, err := blob.whole()
	if c.passes(err) { // it vanished between two tries
		info.Missing = true
		return c.instead(value, info), info, nil
	}
	return data, info, err
}

// maxFetch is the most bytes of a blob that is held in memory; below 0: no limit.
func (c *Client) maxFetch() int64 { return or(c.config.MaxSize, DefaultMaxFetch) }

// passes tells whether an error is one that OnMissing lets pass.
func (c *Client) passes(err error) bool {
	return errors.Is(err, ErrBlobMissing) && c.config.OnMissing != Raise
}

// instead is what comes in place of a blob.
func (c *Client) instead(value []byte, info Info) []byte {
	if info.Missing && c.config.OnMissing == Skip {
		return nil
	}
	return value
}

// open begins to read. Neither a blob nor an error: the value is an ordinary one, or the blob is missing.
func (c *Client) open(ctx context.Context, envelope *Envelope, limit int64, options readOptions) (*blobReader, Info, error) {
	info := Info{Envelope: envelope}
	if envelope == nil {
		return nil, info, nil
	}
	started := time.Now()
	from := &download{ctx: ctx, client: c, envelope: envelope, record: options.record, progressed: started}
	ended := func(received int64, err error) {
		result, failure := resultOf(err)
		c.report(ctx, Resolution{
			Envelope: *envelope, Result: result, Size: received, Duration: time.Since(started), Tries: from.sent,
			Err: failure, Record: options.record,
		})
	}
	blob, err := c.follow(from, limit)
	if err != nil {
		ended(0, err)
		if c.passes(err) {
			info.Missing = true
			return nil, info, nil
		}
		return nil, info, err
	}
	blob.ended, blob.progress = ended, options.progress
	return blob, info, nil
}

func (c *Client) follow(from *download, limit int64) (*blobReader, error) {
	envelope := from.envelope
	if err := c.check(envelope, limit); err != nil {
		return nil, err
	}
	sum, err := envelope.ChecksumAlgo.New()
	if err != nil {
		return nil, failure(ErrInvalidEnvelope, envelope, err, "%s", err)
	}
	if err := from.start(); err != nil {
		return nil, err
	}
	broken := failure(ErrReadInterrupted, envelope, nil,
		"the blob %s cannot be read on: a panic broke off a read", from.name())
	return &blobReader{envelope: envelope, source: from, sum: sum, broken: broken}, nil
}

// check refuses what the configuration does not allow. Whoever may produce to a topic decides what an
// envelope says: it must not make a consumer fetch what else its credentials can see. A key with "." or ".."
// between slashes is refused too, as HTTP clients and stores may resolve it.
func (c *Client) check(envelope *Envelope, limit int64) error {
	if limit > 0 && envelope.Length > limit {
		said := "MaxSize allows (%d bytes)"
		if c.config.MaxSize == 0 {
			said = "are held in memory where MaxSize is not set (%d bytes): set it, or use Open, whose stream has no such limit"
		}
		return failure(ErrTooLarge, envelope, nil, "the blob has %d bytes, more than "+said, envelope.Length, limit)
	}
	if !c.checksPlace {
		return nil
	}
	if !slices.Contains(c.config.Buckets, envelope.Bucket) {
		return failure(ErrNotAllowed, envelope, nil,
			"the envelope points to the bucket %.80q, not allowed", envelope.Bucket)
	}
	begins := func(prefix string) bool { return strings.HasPrefix(envelope.Key, prefix) }
	dotted := func(part string) bool { return part == "." || part == ".." }
	if !slices.ContainsFunc(c.config.Prefixes, begins) || slices.ContainsFunc(strings.Split(envelope.Key, "/"), dotted) {
		return failure(ErrNotAllowed, envelope, nil, "the envelope points to the key %.200q, not allowed", envelope.Key)
	}
	return nil
}
