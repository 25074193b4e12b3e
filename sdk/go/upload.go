package lfs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Uploader sends files to the proxy's HTTP API. It may be shared by goroutines.
type Uploader struct {
	base   *url.URL
	client *http.Client
	apiKey string
}

// UploaderOption changes an Uploader.
type UploaderOption func(*Uploader)

// WithHTTPClient sends requests by client. Its redirects are not followed: a stream cannot be sent twice.
func WithHTTPClient(client *http.Client) UploaderOption {
	return func(u *Uploader) {
		own := *client
		u.client = &own
	}
}

// WithAPIKey signs uploads in by an API key (LFS_HTTP_API_KEYS_FILE of the proxy).
func WithAPIKey(key string) UploaderOption { return func(u *Uploader) { u.apiKey = key } }

// NewUploader sends to the proxy at baseURL, http://localhost:8080 say; a path before /v1 is kept.
func NewUploader(baseURL string, options ...UploaderOption) (*Uploader, error) {
	if err := checkEndpoint(baseURL); err != nil || baseURL == "" {
		return nil, fmt.Errorf("lfs: the proxy's address is %q, an http or https URL is needed", baseURL)
	}
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, err
	}
	uploader := &Uploader{base: base, client: &http.Client{}}
	for _, option := range options {
		option(uploader)
	}
	uploader.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return uploader, nil
}

// UploadOptions says what record is published. The zero value is enough.
type UploadOptions struct {
	// Key of the record; nil: none.
	Key []byte
	// Headers of the record.
	Headers []Header
	// Partition of the record; nil: by the key, as Kafka's own default.
	Partition *int32
	// Timestamp of the record; zero: now.
	Timestamp time.Time
	// ContentType of the blob. Empty: application/octet-stream.
	ContentType string
	// Checksum in hex that the file must have where it arrives. A file that has another is not published.
	Checksum string
	// Algorithm of Checksum and of the envelope. Empty: SHA256 with Checksum, else the proxy's own.
	Algorithm Algorithm
	// Filename becomes the record header HeaderFilename.
	Filename string
	// Length in bytes, where it is known: the proxy refuses what is too large before it is sent. 0: taken
	// from the reader where that is a bytes.Reader, bytes.Buffer or strings.Reader, else not known.
	Length int64
	// APIKey instead of the uploader's own.
	APIKey string
}

// Record is where an upload was published.
type Record struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"` // milliseconds since 1970
	Envelope  Envelope `json:"envelope"`
	// Location of the blob below the proxy's address.
	Location string `json:"-"`
}

// Upload sends what body gives, streaming, and returns when the blob is whole in S3 and Kafka has acknowledged
// its envelope.
//
// The error is a [ProblemError] where the proxy refuses; any other is of the connection or of body, and leaves
// open whether the record was published. Nothing is sent twice.
func (u *Uploader) Upload(ctx context.Context, topic string, body io.Reader, options UploadOptions) (Record, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.address(topic, options), body)
	if err != nil {
		return Record{}, fmt.Errorf("lfs: %w", err)
	}
	if options.Length > 0 {
		request.ContentLength = options.Length
	}
	// The blob's own type goes by the query: a form's type here would have the body parsed as a form.
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Expect", "100-continue")
	if key := or(options.APIKey, u.apiKey); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := u.client.Do(request)
	if err != nil {
		return Record{}, fmt.Errorf("lfs: the upload to %s is cut off: %w", topic, err)
	}
	defer response.Body.Close() //nolint:errcheck // all that is wanted from it was read
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusCreated {
		return Record{}, problemOf(response, answer)
	}
	if err != nil {
		return Record{}, fmt.Errorf("lfs: the upload was published, but its answer is cut off: %w", err)
	}
	record, err := recordOf(answer)
	if err != nil {
		return Record{}, fmt.Errorf("lfs: the upload was published, but its answer cannot be read: %w", err)
	}
	record.Location = response.Header.Get("Location")
	return record, nil
}

// recordOf reads what the proxy says of a published record. What answers 201 may be no proxy.
func recordOf(answer []byte) (record Record, err error) {
	if err := json.Unmarshal(answer, &record); err != nil {
		return Record{}, err
	}
	var raw struct {
		Envelope json.RawMessage `json:"envelope"`
	}
	if err := json.Unmarshal(answer, &raw); err != nil {
		return Record{}, err
	}
	envelope, err := ParseEnvelope(raw.Envelope)
	if err != nil {
		return Record{}, err
	}
	if envelope == nil || record.Topic == "" {
		return Record{}, errors.New("it names no record")
	}
	record.Envelope = *envelope
	return record, nil
}

func (u *Uploader) address(topic string, options UploadOptions) string {
	query := url.Values{}
	if options.Key != nil {
		query.Set("key_base64", base64.StdEncoding.EncodeToString(options.Key))
	}
	for _, header := range options.Headers {
		query.Add("header", header.Key+":"+string(header.Value))
	}
	if options.Filename != "" {
		query.Add("header", HeaderFilename+":"+options.Filename)
	}
	if options.ContentType != "" {
		query.Set("content_type", options.ContentType)
	}
	if options.Partition != nil {
		query.Set("partition", strconv.Itoa(int(*options.Partition)))
	}
	if !options.Timestamp.IsZero() {
		query.Set("timestamp", strconv.FormatInt(options.Timestamp.UnixMilli(), 10))
	}
	if options.Checksum != "" {
		query.Set("checksum", options.Checksum)
		options.Algorithm = or(options.Algorithm, SHA256)
	}
	if options.Algorithm != "" {
		query.Set("checksum_algo", string(options.Algorithm))
	}
	address := *u.base
	address.RawQuery = query.Encode()
	prefix := strings.TrimRight(address.EscapedPath(), "/") + "/v1/topics/"
	address.RawPath = prefix + url.PathEscape(topic) + "/records"
	address.Path = strings.TrimRight(address.Path, "/") + "/v1/topics/" + topic + "/records"
	return address.String()
}

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
}

// Name is the last part of Type: "checksum-mismatch", "too-large", "outcome-unknown", ...
func (e *ProblemError) Name() string { return e.Type[strings.LastIndex(e.Type, "/")+1:] }

func (e *ProblemError) Error() string {
	return "lfs: the proxy refuses the upload: " + or(e.Detail, e.Title)
}

// Is lets [errors.Is] find the kinds that uploads and reads share: ErrTooLarge, ErrChecksumMismatch,
// ErrStoreRefused, ErrStoreUnavailable.
func (e *ProblemError) Is(target error) bool { return target == error(kind(e.Name())) }

// problemOf reads a refusal; whoever sent it: a gateway before the proxy gives no problem+json.
func problemOf(response *http.Response, body []byte) *ProblemError {
	problem := &ProblemError{}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "application/problem+json" || json.Unmarshal(body, problem) != nil || problem.Type == "" {
		name := strings.ReplaceAll(strings.ToLower(http.StatusText(response.StatusCode)), " ", "-")
		problem = &ProblemError{Type: "/problems/" + or(name, "internal-error"), Title: response.Status}
	}
	problem.Status = response.StatusCode
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		problem.RetryAfter = time.Duration(seconds) * time.Second
	}
	return problem
}
