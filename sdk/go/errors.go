package lfs

import (
	"errors"
	"fmt"
)

// kind is what went wrong, by the name that all SDKs and the proxy share.
type kind string

func (k kind) Error() string { return "lfs: " + string(k) }

// What can go wrong with an envelope, for use with [errors.Is].
var (
	// ErrInvalidEnvelope: a field is missing or of the wrong type.
	ErrInvalidEnvelope error = kind("invalid-envelope")
	// ErrUnsupportedEnvelope: the envelope is of a version newer than this reader.
	ErrUnsupportedEnvelope error = kind("unsupported-envelope")
	// ErrNotAllowed: the envelope points outside the buckets and prefixes of [Config].
	ErrNotAllowed error = kind("envelope-not-allowed")
	// ErrTooLarge: the blob has more bytes than MaxSize of [Config].
	ErrTooLarge error = kind("too-large")
	// ErrBlobMissing: the blob is not in the store. See OnMissing of [Config].
	ErrBlobMissing error = kind("blob-missing")
	// ErrTruncated: the blob has fewer or more bytes than its envelope says.
	ErrTruncated error = kind("blob-truncated")
	// ErrChecksumMismatch: the blob's bytes are not those that were published.
	ErrChecksumMismatch error = kind("checksum-mismatch")
	// ErrStoreRefused: credentials, permissions or the bucket's name are wrong.
	ErrStoreRefused error = kind("store-refused")
	// ErrStoreUnavailable: the store did not answer, after the client's own retries.
	ErrStoreUnavailable error = kind("store-unavailable")
	// ErrReadInterrupted: a panic, as of a progress function, broke off a read; the stream cannot be read on.
	ErrReadInterrupted error = kind("read-interrupted")
)

// What can go wrong with an upload, besides what the proxy says ([ProblemError]).
var (
	// ErrProxyUnavailable: the proxy could not be reached, broke off before it had the whole body, or answered
	// 503. Nothing was published.
	ErrProxyUnavailable error = kind("proxy-unavailable")
	// ErrOutcomeUnknown: the record may have been published, or not. To upload again could publish it twice.
	ErrOutcomeUnknown error = kind("outcome-unknown")
)

// Error is what every failure of a [Client] is, for use with [errors.As].
type Error struct {
	// Kind is the sentinel: ErrBlobMissing and the like.
	Kind error
	// Message is one sentence for people.
	Message string
	// Envelope is what was being read; nil where the envelope itself could not be, and for uploads.
	Envelope *Envelope
	// Expected and Actual are the checksums of an ErrChecksumMismatch, in hex.
	Expected, Actual string
	// Err is the cause, where there is one.
	Err error
}

// Name is the stable name of what went wrong, the same in all SDKs: "blob-missing", "checksum-mismatch", ...
// It is empty where Kind is none of this package's.
func (e *Error) Name() string {
	name, _ := e.Kind.(kind)
	return string(name)
}

func (e *Error) Error() string { return "lfs: " + or(e.Message, e.Name()) }

// Is tells whether target is the error's Kind.
func (e *Error) Is(target error) bool { return e.Kind != nil && target == e.Kind }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retriable tells whether the same call may succeed later with nothing changed.
func (e *Error) Retriable() bool {
	switch e.Kind {
	case ErrStoreUnavailable, ErrReadInterrupted, ErrProxyUnavailable:
		return true
	}
	return false
}

// Retriable tells whether the call that gave err may succeed later with nothing changed: err is, or wraps, an
// [Error] or a [ProblemError] that says so.
func Retriable(err error) bool {
	var said interface{ Retriable() bool }
	return errors.As(err, &said) && said.Retriable()
}

func failure(what error, envelope *Envelope, cause error, format string, args ...any) *Error {
	return &Error{Kind: what, Message: fmt.Sprintf(format, args...), Envelope: envelope, Err: cause}
}
