package lfs

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ProblemError is what the proxy answers in place of a record (RFC 9457), for use with [errors.As].
type ProblemError struct {
	// Type stays the same over versions: /problems/checksum-mismatch, ...
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Algorithm, Expected and Actual are those of a checksum mismatch.
	Algorithm Algorithm `json:"algorithm"`
	Expected  string    `json:"expected"`
	Actual    string    `json:"actual"`
	// KafkaErrorCode is the broker's, where it refused the record.
	KafkaErrorCode int `json:"kafka_error_code"`
	// RetryAfter is when to send again; 0 where the proxy does not say that this would help.
	RetryAfter time.Duration `json:"-"`

	ofProxy bool // and not of a gateway before it
}

// Name is the last part of Type: "checksum-mismatch", "too-large", "outcome-unknown", ...
func (e *ProblemError) Name() string { return e.Type[strings.LastIndex(e.Type, "/")+1:] }

func (e *ProblemError) Error() string {
	return "lfs: the proxy refuses the upload: " + or(e.Detail, e.Title)
}

// Is lets [errors.Is] find the kinds that uploads and reads share (ErrTooLarge, ErrChecksumMismatch,
// ErrStoreRefused, ErrStoreUnavailable), ErrProxyUnavailable for each 503, and ErrOutcomeUnknown for what the
// proxy calls so, and for a gateway that has lost the proxy or does not wait for it (502 and 504).
func (e *ProblemError) Is(target error) bool {
	switch target {
	case ErrProxyUnavailable:
		return e.Status == http.StatusServiceUnavailable
	case ErrOutcomeUnknown:
		lost := e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
		return e.Name() == "outcome-unknown" || (lost && !e.ofProxy)
	}
	return target == error(kind(e.Name()))
}

// Retriable tells whether the same upload may succeed later: nothing was published (408, 429, 503).
func (e *ProblemError) Retriable() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// problemOf reads a refusal; whoever sent it: a gateway before the proxy gives no problem+json.
func problemOf(response *http.Response, body []byte) *ProblemError {
	problem := &ProblemError{ofProxy: true}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "application/problem+json" || json.Unmarshal(body, problem) != nil || problem.Type == "" {
		name := strings.ReplaceAll(strings.ToLower(http.StatusText(response.StatusCode)), " ", "-")
		if response.StatusCode == http.StatusServiceUnavailable {
			name = string(ErrProxyUnavailable.(kind))
		}
		problem = &ProblemError{Type: "/problems/" + or(name, "internal-error"), Title: response.Status}
	}
	problem.Status = response.StatusCode
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		problem.RetryAfter = time.Duration(seconds) * time.Second
	}
	return problem
}
