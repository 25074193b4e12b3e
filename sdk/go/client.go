package lfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Client resolves record values: an envelope to the blob behind it, anything else to itself. It is made by
// [New] or [FromEnvironment], and may be shared by goroutines.
type Client struct {
	config Config
	store  *s3.Client
	pause  func(context.Context, time.Duration) error
}

// Info says what a value was.
type Info struct {
	// Envelope is nil where the value was an ordinary one.
	Envelope *Envelope
	// Missing is true where the blob is not in the store, and OnMissing is Skip or KeepEnvelope.
	Missing bool
}

// Results of a [Resolution] that are no failures.
const (
	ResultOK = "ok"
	// ResultClosed: the stream was closed, or its context ended, before the blob's end.
	ResultClosed = "closed"
)

// Resolution is what OnResolve of [Config] is told when an envelope has been dealt with.
type Resolution struct {
	Envelope Envelope
	// Result is ResultOK, ResultClosed, or the name of what went wrong: "blob-missing", ...
	Result string
	// Bytes that were received.
	Bytes int64
	// Duration from the start of the fetch to its end, the time that the caller took for reading included.
	Duration time.Duration
	// Err is an *Error, or the context's error; nil for ResultOK, and where the stream was closed.
	Err error
}

// Resolve gives the blob behind an envelope as a stream; any other value as it is.
//
// The stream ends with io.EOF only when every byte was there and right. Where the end of a wrong blob would be,
// Read returns ErrTruncated, ErrChecksumMismatch or ErrStoreUnavailable, and the last bytes are not handed
// out: do not act upon the first ones before the end has come. Close before the end is neither success nor
// failure. The context holds for the stream, too. A nil value gives an empty stream.
//
// The error is an [Error] of one of the package's kinds, or wraps the context's.
func (c *Client) Resolve(ctx context.Context, value []byte) (io.ReadCloser, Info, error) {
	blob, info, err := c.open(ctx, value)
	if err != nil {
		return nil, info, err
	}
	if blob == nil {
		return io.NopCloser(bytes.NewReader(c.instead(value, info))), info, nil
	}
	return blob, info, nil
}

// Fetch gives the blob behind an envelope; any other value as it is, nil as nil. The blob is held in memory:
// set MaxSize of [Config]. Errors are as those of Resolve.
func (c *Client) Fetch(ctx context.Context, value []byte) ([]byte, Info, error) {
	blob, info, err := c.open(ctx, value)
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
func (c *Client) open(ctx context.Context, value []byte) (*blobReader, Info, error) {
	envelope, err := ParseEnvelope(value)
	if err != nil || envelope == nil {
		return nil, Info{}, err
	}
	info := Info{Envelope: envelope}
	started := time.Now()
	ended := func(received int64, result error) { c.report(*envelope, received, time.Since(started), result) }
	blob, err := c.follow(ctx, envelope, ended)
	if err != nil {
		ended(0, err)
		if c.passes(err) {
			info.Missing = true
			return nil, info, nil
		}
		return nil, info, err
	}
	return blob, info, nil
}

func (c *Client) follow(ctx context.Context, envelope *Envelope, ended func(int64, error)) (*blobReader, error) {
	if err := c.check(envelope); err != nil {
		return nil, err
	}
	sum, err := envelope.ChecksumAlgo.New()
	if err != nil {
		return nil, failure(ErrInvalidEnvelope, envelope, err, "%s", err)
	}
	from := &source{ctx: ctx, client: c, envelope: envelope}
	if err := from.start(); err != nil {
		return nil, err
	}
	broken := failure(ErrReadInterrupted, envelope, nil,
		"the blob %s cannot be read on: a panic broke off a read", from.name())
	return &blobReader{envelope: envelope, source: from, sum: sum, ended: ended, broken: broken}, nil
}

// check refuses what the configuration does not allow. Whoever may produce to a topic decides what an
// envelope says: it must not make a consumer fetch what else its credentials can see. A key with "." or ".."
// between slashes is refused too, as HTTP clients and stores may resolve it.
func (c *Client) check(envelope *Envelope) error {
	if limit := c.config.MaxSize; limit > 0 && envelope.Length > limit {
		return failure(ErrTooLarge, envelope, nil,
			"the blob has %d bytes, more than MaxSize allows (%d bytes)", envelope.Length, limit)
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

func (c *Client) report(envelope Envelope, received int64, took time.Duration, result error) {
	if c.config.OnResolve == nil {
		return
	}
	resolution := Resolution{Envelope: envelope, Result: ResultClosed, Bytes: received, Duration: took}
	var wrong *Error
	switch {
	case result == io.EOF:
		resolution.Result = ResultOK
	case errors.As(result, &wrong):
		resolution.Result, resolution.Err = wrong.Name(), result
	default:
		resolution.Err = result
	}
	c.config.OnResolve(resolution)
}
