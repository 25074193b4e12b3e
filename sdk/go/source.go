package lfs

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Source gives the bytes of blobs, not verified. To try again, to read on and to verify is the Client's part.
//
// An error that is an [Error], or wraps one of this package's kinds (ErrBlobMissing, ...), is final. After any
// other the Client tries again.
//
// A source whose method ByRecord() bool gives true is told by the record what to read, and not by the
// envelope: then buckets and prefixes are looked at only where [Config] names buckets.
type Source interface {
	// Get asks for a blob from Offset of the request on. The context ends the reading of the body, too.
	Get(ctx context.Context, request GetRequest) (GetResponse, error)
}

// GetRequest is one GET that a Client wants to be sent.
type GetRequest struct {
	Envelope Envelope
	// Record is nil where the caller has not said where the record is.
	Record *Coordinates
	// Offset is the first byte that is wanted.
	Offset int64
	// ETag is of the object that the bytes before Offset came from; empty where none is known. An object that
	// has another one is an error.
	ETag string
}

// GetResponse is the answer to a [GetRequest].
type GetResponse struct {
	// Body is closed by the Client.
	Body io.ReadCloser
	// Length of Body in bytes; below 0 where it is not known.
	Length int64
	// ETag of the object; empty where it has none.
	ETag string
}

func (r *GetRequest) name() string { return r.Envelope.Bucket + "/" + r.Envelope.Key }

func (r *GetRequest) failure(what, cause error, format string, args ...any) *Error {
	envelope := r.Envelope
	return failure(what, &envelope, cause, format, args...)
}

func (r *GetRequest) wantedStatus() int {
	if r.Offset > 0 {
		return http.StatusPartialContent
	}
	return http.StatusOK
}

// refusal is what an HTTP status means that is not the wanted one. code is S3's, or a problem's name.
func (r *GetRequest) refusal(status int, code string, cause error) error {
	said := fmt.Sprintf("%d %s", status, or(code, http.StatusText(status)))
	switch status {
	case http.StatusNotFound:
		if code != "NoSuchBucket" {
			return r.failure(ErrBlobMissing, cause, "the blob %s is missing", r.name())
		}
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("the store answers %s", said)
	case http.StatusOK, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		if r.Offset > 0 {
			return r.failure(ErrStoreUnavailable, cause,
				"the blob %s cannot be read on after %d bytes: %s", r.name(), r.Offset, said)
		}
	}
	return r.failure(ErrStoreRefused, cause, "the store refuses to give the blob %s: %s", r.name(), said)
}
