package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	tries        = 5
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// source is one blob's bytes in their order, not verified. A dropped connection is followed by a ranged GET
// from the next byte on, tied to the same object by If-Match. Tries are counted from the last progress.
type source struct {
	ctx      context.Context
	client   *Client
	envelope *Envelope

	body     io.ReadCloser // nil: no GET is open
	silence  *time.Timer   // ends the open GET when the store sends nothing for too long
	stop     context.CancelCauseFunc
	request  context.Context
	etag     *string
	sized    bool // the store has said that the blob is as long as its envelope says
	position int64
	failures int
}

var errSilent = errors.New("the store sent nothing for too long")

// start sends the GET, unless one is open. The error is an [Error], or the context's.
func (s *source) start() error {
	for s.body == nil {
		err := s.open()
		if err == nil {
			return nil
		}
		s.close()
		if err := s.pause(err); err != nil {
			return err
		}
	}
	return nil
}

// Read gives the next bytes; io.EOF at the end of what the store sends. Other errors are as start's.
func (s *source) Read(into []byte) (int, error) {
	for {
		if err := s.start(); err != nil {
			return 0, err
		}
		s.silence.Reset(s.client.config.ReadTimeout)
		n, err := s.body.Read(into)
		s.silence.Stop()
		if n > 0 {
			s.failures = 0
			s.position += int64(n)
			return n, nil
		}
		if err == io.EOF || (err != nil && s.position == s.envelope.Length && s.ctx.Err() == nil) {
			return 0, io.EOF // with every byte here, what the connection did afterwards does not matter
		}
		if err != nil {
			err = s.said(err)
			s.close()
			if err := s.pause(tryAgain{err}); err != nil {
				return 0, err
			}
		}
	}
}

// close lets go of the connection; it is reused when the response was read to its end.
func (s *source) close() {
	if s.stop == nil {
		return
	}
	s.silence.Stop()
	if s.body != nil {
		s.body.Close() //nolint:errcheck // nothing is to be had from a body that is given up
	}
	s.stop(nil)
	s.body, s.stop = nil, nil
}

func (s *source) open() error {
	s.request, s.stop = context.WithCancelCause(s.ctx)
	stop := s.stop
	s.silence = time.AfterFunc(s.client.config.ReadTimeout, func() { stop(errSilent) })
	input := &s3.GetObjectInput{Bucket: &s.envelope.Bucket, Key: &s.envelope.Key, IfMatch: s.etag}
	if s.position > 0 {
		input.Range = aws.String(fmt.Sprintf("bytes=%d-", s.position))
	}
	output, err := s.client.store.GetObject(s.request, input)
	s.silence.Stop()
	if err != nil {
		return s.refusal(s.said(err))
	}
	s.body = output.Body
	raw, ok := awsmiddleware.GetRawResponse(output.ResultMetadata).(*smithyhttp.Response)
	if !ok {
		return s.failure(ErrStoreRefused, nil, "the store's answer for the blob %s cannot be read", s.name())
	}
	wanted := http.StatusOK
	if s.position > 0 {
		wanted = http.StatusPartialContent
	}
	if raw.StatusCode != wanted {
		return s.unexpected(raw.StatusCode, "", nil)
	}
	if length := raw.ContentLength; length >= 0 {
		if all := length + s.position; all != s.envelope.Length {
			return s.failure(ErrTruncated, nil, "the blob %s has %d bytes, its envelope says %d", s.name(), all, s.envelope.Length)
		}
		s.sized = true
	}
	s.etag = output.ETag
	return nil
}

// said names a store's silence as the cause of an error.
func (s *source) said(err error) error {
	if context.Cause(s.request) == errSilent {
		return errSilent
	}
	return err
}

// tryAgain is a failure that may pass.
type tryAgain struct{ error }

func (e tryAgain) Unwrap() error { return e.error }

// refusal tells what a GET that gave no object means.
func (s *source) refusal(err error) error {
	var missing credentialsError
	if errors.As(err, &missing) {
		return s.failure(ErrStoreRefused, err, "no S3 credentials can be had for the blob %s: %s", s.name(), missing)
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil && response.HTTPStatusCode() > 0 { // 0: none has come
		var api smithy.APIError
		code := ""
		if errors.As(err, &api) {
			code = api.ErrorCode()
		}
		return s.unexpected(response.HTTPStatusCode(), code, err)
	}
	var sending *smithyhttp.RequestSendError
	if errors.As(err, &sending) || errors.Is(err, errSilent) || s.ctx.Err() != nil {
		return tryAgain{err}
	}
	return s.failure(ErrStoreRefused, err, "the blob %s cannot be asked for: %s", s.name(), err)
}

func (s *source) unexpected(status int, code string, cause error) error {
	said := fmt.Sprintf("%d %s", status, or(code, http.StatusText(status)))
	switch status {
	case http.StatusNotFound:
		if code != "NoSuchBucket" {
			return s.failure(ErrBlobMissing, cause, "the blob %s is missing", s.name())
		}
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return tryAgain{fmt.Errorf("the store answers %s", said)}
	case http.StatusOK, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		if s.position > 0 {
			return s.failure(ErrStoreUnavailable, cause,
				"the blob %s cannot be read on after %d bytes: %s", s.name(), s.position, said)
		}
	}
	return s.failure(ErrStoreRefused, cause, "the store refuses to give the blob %s: %s", s.name(), said)
}

// pause waits before the next try. It returns an error that trying again does not help, the context's, or
// ErrStoreUnavailable after the last try.
func (s *source) pause(err error) error {
	if ended := s.ctx.Err(); ended != nil {
		return fmt.Errorf("lfs: reading the blob %s: %w", s.name(), ended)
	}
	if _, again := err.(tryAgain); !again {
		return err
	}
	s.failures++
	if s.failures >= tries {
		return s.failure(ErrStoreUnavailable, err, "the blob %s cannot be read: %s", s.name(), err)
	}
	longest := min(longestPause, firstPause<<(s.failures-1))
	if ended := s.client.pause(s.ctx, time.Duration(float64(longest)*(0.5+rand.Float64()/2))); ended != nil {
		return fmt.Errorf("lfs: reading the blob %s: %w", s.name(), ended)
	}
	return nil
}

func (s *source) name() string { return s.envelope.Bucket + "/" + s.envelope.Key }

func (s *source) failure(what, cause error, format string, args ...any) *Error {
	return failure(what, s.envelope, cause, format, args...)
}

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
