package lfs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

const bucket = "kafscale"

// fakeStore is an S3 server of path style, as far as GetObject goes. Objects are by the request's path as it
// was on the wire: the key's bytes, escaped.
type fakeStore struct {
	*httptest.Server
	mu       sync.Mutex
	objects  map[string]string
	requests []*http.Request
	// before answers a request in the store's place when it returns true.
	before func(try int, w http.ResponseWriter, r *http.Request) bool
}

func newFakeStore(t testing.TB) *fakeStore {
	store := startFakeStore()
	t.Cleanup(store.Close)
	return store
}

func startFakeStore() *fakeStore {
	store := &fakeStore{objects: map[string]string{}}
	store.Server = httptest.NewServer(store)
	return store
}

func (s *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	try := len(s.requests)
	path, _, _ := strings.Cut(r.RequestURI, "?")
	blob, found := s.objects[path]
	s.mu.Unlock()
	if s.before != nil && s.before(try, w, r) {
		return
	}
	if !found {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("ETag", etag(blob))
	if match := r.Header.Get("If-Match"); match != "" && match != etag(blob) {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	first := 0
	status := http.StatusOK
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first); err == nil {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(blob)-1, len(blob)))
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(blob)-first))
	w.WriteHeader(status)
	io.WriteString(w, blob[first:]) //nolint:errcheck // a reader that goes away is part of the tests
}

// put stores a blob and returns its envelope's record value.
func (s *fakeStore) put(key, blob string) (value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects["/"+bucket+"/"+escaped(key)] = blob
	return envelopeOf(key, blob)
}

func (s *fakeStore) tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// client reads from the store, and waits for nothing between tries.
func (s *fakeStore) client(t testing.TB, options ...Option) *Client {
	config := Config{
		Bucket: bucket, Endpoint: s.URL, PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}
	for _, option := range options {
		option(&config)
	}
	client, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	client.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return client
}

// resolve opens a value's stream, or an empty one where there is none.
func resolve(client *Client, ctx context.Context, value []byte) (io.ReadCloser, Info, error) {
	blob, err := client.Open(ctx, value)
	if err != nil {
		return nil, Info{}, err
	}
	if blob.Stream == nil {
		return io.NopCloser(strings.NewReader("")), blob.Info, nil
	}
	return blob.Stream, blob.Info, nil
}

// message is a record as a Kafka client has it.
type message struct {
	value  []byte
	offset int64
}

func readMessage(m message) ([]byte, Coordinates) { return m.value, Coordinates{"t", 3, m.offset} }

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

// cut sends the headers of a whole blob and only its first bytes, then drops the connection.
func cut(w http.ResponseWriter, blob string, first, sent int) {
	w.Header().Set("ETag", etag(blob))
	w.Header().Set("Content-Length", fmt.Sprint(len(blob)-first))
	if first > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	io.WriteString(w, blob[first:first+sent]) //nolint:errcheck // what counts is what the reader makes of it
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func etag(blob string) string { return `"` + sha256Of(blob)[:16] + `"` }

func sha256Of(blob string) string {
	sum := sha256.Sum256([]byte(blob))
	return hex.EncodeToString(sum[:])
}

func envelopeOf(key, blob string) []byte {
	value, err := json.Marshal(struct {
		Version int `json:"lfs_version"`
		Envelope
	}{Version, Envelope{bucket, key, "text/plain", int64(len(blob)), SHA256, sha256Of(blob)}})
	if err != nil {
		panic(err)
	}
	return value
}

// escaped is a key as RFC 3986 has it in a path: all but unreserved characters and slashes in percents.
func escaped(key string) string {
	var out strings.Builder
	for _, b := range []byte(key) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/", b) >= 0 {
			out.WriteByte(b)
		} else {
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

var silent = log.New(io.Discard, "", 0)
