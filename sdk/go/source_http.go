package lfs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
)

// HTTPOption changes how an [Uploader], a [ProxySource] or a [PresignedSource] sends its requests.
type HTTPOption func(*httpSettings)

type httpSettings struct {
	client *http.Client
	apiKey string
}

// WithHTTPClient sends requests by client; nil: the usual one. Its redirects are not followed: a stream cannot
// be sent twice, and a store has no reason to send a reader elsewhere.
func WithHTTPClient(client *http.Client) HTTPOption {
	return func(s *httpSettings) {
		if client != nil {
			s.client = client
		}
	}
}

// WithAPIKey signs requests to the proxy in by an API key (LFS_HTTP_API_KEYS_FILE of the proxy).
func WithAPIKey(key string) HTTPOption { return func(s *httpSettings) { s.apiKey = key } }

func httpSettingsOf(options []HTTPOption) httpSettings {
	settings := httpSettings{client: &http.Client{}}
	for _, option := range options {
		option(&settings)
	}
	own := *settings.client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	settings.client = &own
	return settings
}

// proxyAddress checks the URL of a proxy.
func proxyAddress(baseURL string) (*url.URL, error) {
	if err := checkHTTP(baseURL); err != nil || baseURL == "" {
		return nil, fmt.Errorf("lfs: the proxy's address is %q, an http or https URL is needed", baseURL)
	}
	return url.Parse(baseURL)
}

// ProxySource reads through the proxy at baseURL by its download route, for where there are no S3 credentials.
// It needs to know where a record is: [WithRecord], which the helpers for Kafka clients give. apiKey is one of
// LFS_HTTP_API_KEYS_FILE of the proxy; empty: none.
func ProxySource(baseURL, apiKey string, options ...HTTPOption) (Source, error) {
	base, err := proxyAddress(baseURL)
	if err != nil {
		return nil, err
	}
	settings := httpSettingsOf(append([]HTTPOption{WithAPIKey(apiKey)}, options...))
	return proxySource{base, settings}, nil
}

type proxySource struct {
	base     *url.URL
	settings httpSettings
}

// ByRecord: the proxy looks at the record itself, and decides what may be read.
func (s proxySource) ByRecord() bool { return true }

func (s proxySource) Get(ctx context.Context, request GetRequest) (GetResponse, error) {
	record := request.Record
	if record == nil {
		return GetResponse{}, request.failure(ErrStoreRefused, nil,
			"the proxy finds the blob %s by its record: WithRecord is needed", request.name())
	}
	address := below(s.base, fmt.Sprintf("/v1/topics/%s/partitions/%d/records/%d",
		url.PathEscape(record.Topic), record.Partition, record.Offset))
	header := http.Header{}
	if s.settings.apiKey != "" {
		header.Set("Authorization", "Bearer "+s.settings.apiKey)
	}
	// Another blob is then a 200, which is not read on.
	return get(ctx, s.settings.client, address, header, "If-Range", &request)
}

// PresignedSource reads by the URL that presign gives for an envelope. It is asked before each request, so that
// a URL may expire. record is nil where the caller has not said where the record is. An error of it is final
// where it is an [Error]; after any other it is asked again.
func PresignedSource(
	presign func(ctx context.Context, envelope Envelope, record *Coordinates) (string, error), options ...HTTPOption,
) Source {
	return presignedSource{presign, httpSettingsOf(options)}
}

type presignedSource struct {
	presign  func(context.Context, Envelope, *Coordinates) (string, error)
	settings httpSettings
}

func (s presignedSource) Get(ctx context.Context, request GetRequest) (GetResponse, error) {
	address, err := s.presign(ctx, request.Envelope, request.Record)
	if err != nil {
		return GetResponse{}, err
	}
	return get(ctx, s.settings.client, address, http.Header{}, "If-Match", &request)
}

// get sends one GET. tied is the header that holds a blob that is read on to the same object.
func get(
	ctx context.Context, client *http.Client, address string, header http.Header, tied string, request *GetRequest,
) (GetResponse, error) {
	sent, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil || checkHTTP(address) != nil {
		return GetResponse{}, request.failure(ErrStoreRefused, nil, "the blob %s cannot be asked for: its URL is none of http or https", request.name())
	}
	sent.Header = header
	header.Set("Accept-Encoding", "identity")
	if request.Offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", request.Offset))
		if request.ETag != "" {
			header.Set(tied, request.ETag)
		}
	}
	response, err := client.Do(sent)
	if err != nil {
		return GetResponse{}, withoutURL(err)
	}
	if response.StatusCode != request.wantedStatus() {
		defer response.Body.Close() //nolint:errcheck // nothing more is wanted from it
		return GetResponse{}, httpRefusal(request, response)
	}
	return GetResponse{response.Body, response.ContentLength, response.Header.Get("ETag")}, nil
}

// withoutURL leaves out the URL, whose signature is a secret, that [http.Client] puts into its errors.
func withoutURL(err error) error {
	if wrapped, ok := err.(*url.Error); ok {
		return wrapped.Err
	}
	return err
}

var s3Code = regexp.MustCompile(`<Code>([^<]*)</Code>`)

// Names by which the proxy's download route says what a reader of S3 would find by itself.
var saidByProxy = map[string]error{
	"blob-missing": ErrBlobMissing, "blob-truncated": ErrTruncated, "checksum-mismatch": ErrChecksumMismatch,
	"envelope-not-allowed": ErrNotAllowed, "invalid-envelope": ErrInvalidEnvelope,
	"unsupported-envelope": ErrUnsupportedEnvelope, "store-refused": ErrStoreRefused,
}

func httpRefusal(request *GetRequest, response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, 16*1024)) // far more than such an answer has
	if err != nil {
		body = nil
	}
	problem := problemOf(response, body)
	if !problem.ofProxy {
		code := ""
		if found := s3Code.FindSubmatch(body); found != nil {
			code = string(found[1])
		}
		return request.refusal(response.StatusCode, code, nil)
	}
	if kind, known := saidByProxy[problem.Name()]; known {
		return request.failure(kind, problem, "the proxy refuses to give the blob %s: %s", request.name(), or(problem.Detail, problem.Title))
	}
	if response.StatusCode == http.StatusNotFound { // the record is not there, or is no envelope
		return request.failure(ErrStoreRefused, problem, "the proxy refuses to give the blob %s: %s", request.name(), or(problem.Detail, problem.Title))
	}
	return request.refusal(response.StatusCode, problem.Name(), problem)
}
