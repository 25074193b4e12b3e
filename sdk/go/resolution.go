package lfs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"time"
)

// Results of a [Resolution] that are no names of errors.
const (
	ResultOK = "ok"
	// ResultClosed: the stream was closed before the blob's end.
	ResultClosed = "closed"
	// ResultCancelled: the caller's context was cancelled before the blob's end.
	ResultCancelled = "cancelled"
	// ResultTimeout: the deadline of the caller's context came before the blob's end.
	ResultTimeout = "timeout"
)

// Resolution is what OnResolve of [Config] is told when an envelope has been dealt with.
type Resolution struct {
	Envelope Envelope
	// Result is one of the Result constants, or the name of what went wrong: "blob-missing", ...
	Result string
	// Size is the number of bytes received.
	Size int64
	// Duration from the start of the fetch to its end, the time that the caller took for reading included.
	Duration time.Duration
	// Tries is the number of GETs that were sent.
	Tries int
	// Err is an *Error, or wraps the context's error; nil for ResultOK and ResultClosed.
	Err error
	// Record is where the envelope was in Kafka; nil where the caller has not said ([WithRecord]).
	Record *Coordinates
}

// report tells the hook. One that panics is logged, and does no harm to the read.
func (c *Client) report(ctx context.Context, resolution Resolution) {
	if c.config.OnResolve == nil {
		return
	}
	defer func() {
		if with := recover(); with != nil {
			slog.ErrorContext(ctx, "lfs: OnResolve has panicked", "panic", with, "stack", string(debug.Stack()))
		}
	}()
	c.config.OnResolve(ctx, resolution)
}

// resultOf names how a read ended: io.EOF for a verified blob, nil for one that was closed.
func resultOf(err error) (result string, failure error) {
	var wrong *Error
	switch {
	case err == nil:
		return ResultClosed, nil
	case err == io.EOF:
		return ResultOK, nil
	case errors.As(err, &wrong):
		return wrong.Name(), err
	case errors.Is(err, context.DeadlineExceeded):
		return ResultTimeout, err
	}
	return ResultCancelled, err
}
