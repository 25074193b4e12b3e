package lfs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Uploader sends files to the proxy's HTTP API. It may be shared by goroutines.
type Uploader struct {
	base     *url.URL
	settings httpSettings
}

// NewUploader sends to the proxy at baseURL, http://localhost:8080 say; a path before /v1 is kept.
func NewUploader(baseURL string, options ...HTTPOption) (*Uploader, error) {
	base, err := proxyAddress(baseURL)
	if err != nil {
		return nil, err
	}
	return &Uploader{base, httpSettingsOf(options)}, nil
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
	// from the reader where that is an os.File (from where it stands to its end), bytes.Reader, bytes.Buffer or
	// strings.Reader, else not known.
	Length int64
	// APIKey instead of the uploader's own.
	APIKey string
	// OnProgress is called with the bytes that were taken from the body so far, and with all of them before the
	// upload succeeds. It runs in a goroutine of the HTTP client, never twice at a time.
	OnProgress func(size int64)
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
// its envelope. Nothing is sent twice. The body is not closed. It is not read any more after Upload has returned,
// so that a file may be sent again from its start; only a Read that was waiting when the context ended may
// still come to its end.
//
// The error is a [ProblemError] where the proxy refuses; an [Error] of ErrProxyUnavailable where it could not be
// reached or was lost before it had the whole body: nothing was published; an [Error] of ErrOutcomeUnknown where
// it was lost after that. An error of body is wrapped, as is the context's: then nothing was published unless
// the error is ErrOutcomeUnknown, too. What body or OnProgress panics with, Upload panics with.
func (u *Uploader) Upload(ctx context.Context, topic string, body io.Reader, options UploadOptions) (Record, error) {
	sent := newUploadBody(ctx, body, options)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.address(topic, options), sent.reader())
	if err != nil {
		return Record{}, fmt.Errorf("lfs: %w", err)
	}
	request.ContentLength = sent.length
	request.GetBody = sent.again
	// The blob's own type goes by the query: a form's type here would have the body parsed as a form.
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Expect", "100-continue")
	if key := or(options.APIKey, u.settings.apiKey); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := u.settings.client.Do(request.WithContext(sent.traced()))
	sent.letGo()
	if err == nil {
		defer response.Body.Close() //nolint:errcheck // all that is wanted from it was read
	}
	sent.repanic()
	if err != nil {
		return Record{}, sent.lost(topic, err)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusCreated {
		return Record{}, problemOf(response, answer)
	}
	if err != nil {
		return Record{}, failure(ErrOutcomeUnknown, nil, err, "the upload was published, but its answer is cut off: %s", err)
	}
	record, err := recordOf(answer)
	if err != nil {
		return Record{}, failure(ErrOutcomeUnknown, nil, err, "the upload was published, but its answer cannot be read: %s", err)
	}
	if sent.read() == 0 {
		sent.progress(0)
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
	return below(u.base, "/v1/topics/"+url.PathEscape(topic)+"/records?"+query.Encode())
}

// below is an address of the proxy: path, which is escaped, begins with a slash.
func below(base *url.URL, path string) string {
	root := *base
	root.RawQuery, root.Fragment, root.RawFragment, root.ForceQuery = "", "", "", false
	return strings.TrimRight(root.String(), "/") + path
}
