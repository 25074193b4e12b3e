package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func clientOf(t *testing.T, config Config) *Client {
	t.Helper()
	client, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	client.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return client
}

// TestS3ClientOfTheCaller: its endpoint and credentials hold, its own retries do not.
func TestS3ClientOfTheCaller(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	own := s3.New(s3.Options{
		BaseEndpoint: aws.String(store.URL), UsePathStyle: true, Region: "eu-north-1", RetryMaxAttempts: 4,
		Credentials: credentials.NewStaticCredentialsProvider("mine", "secret", "session"),
	})
	client := clientOf(t, Config{Bucket: bucket, Source: S3Source(own), Tries: 2})
	if data, _, err := client.Fetch(t.Context(), value); string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if signed := store.requests[0].Header.Get("Authorization"); !strings.Contains(signed, "Credential=mine/") || !strings.Contains(signed, "/eu-north-1/") {
		t.Errorf("signed by %s", signed)
	}
	store.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool { refuse(w, 503, "SlowDown"); return true }
	_, _, err := client.Fetch(t.Context(), value)
	wantKind(t, err, ErrStoreUnavailable)
	if store.tries() != 3 {
		t.Errorf("%d requests", store.tries())
	}
}

// doubled is an S3 client as tests of users have it: no HTTP at all.
type doubled func(*s3.GetObjectInput) (*s3.GetObjectOutput, error)

func (d doubled) GetObject(_ context.Context, input *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return d(input)
}

func TestDoubleOfAnS3Client(t *testing.T) {
	asked := 0
	client := clientOf(t, Config{Bucket: bucket, Source: S3Source(doubled(func(input *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
		asked++
		if *input.Key != key {
			return nil, &types.NoSuchKey{}
		}
		if asked == 1 {
			half := io.MultiReader(strings.NewReader(blob[:1000]), errorReader{})
			return &s3.GetObjectOutput{Body: io.NopCloser(half), ETag: aws.String(`"e"`)}, nil
		}
		if aws.ToString(input.Range) != "bytes=1000-" || aws.ToString(input.IfMatch) != `"e"` {
			t.Errorf("asks for %+v", input)
		}
		rest := io.NopCloser(strings.NewReader(blob[1000:]))
		return &s3.GetObjectOutput{Body: rest, ContentRange: aws.String("bytes 1000-999999/1000000"), ContentLength: aws.Int64(999000)}, nil
	}))})
	if data, _, err := client.Fetch(t.Context(), envelopeOf(key, blob)); string(data) != blob || err != nil || asked != 2 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	_, _, err := client.Fetch(t.Context(), envelopeOf("lfs/none", blob))
	wantKind(t, err, ErrBlobMissing)
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestPresignedSource(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	asked := 0
	source := PresignedSource(func(_ context.Context, envelope Envelope, record *Coordinates) (string, error) {
		if asked++; asked == 1 {
			return "", errors.New("the signer is asleep")
		}
		if *record != (Coordinates{"t", 1, 2}) {
			t.Errorf("for %+v", record)
		}
		return fmt.Sprintf("%s/%s/%s?X-Amz-Signature=s%d", store.URL, envelope.Bucket, envelope.Key, asked), nil
	})
	store.before = func(try int, w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Authorization") != "" {
			t.Errorf("asks by %v", r.Header)
		}
		if try == 1 {
			cut(w, blob, 0, 1000)
		}
		if r.Header.Get("Range") != "bytes=1000-" || r.Header.Get("If-Match") != etag(blob) || r.URL.RawQuery != "X-Amz-Signature=s3" {
			t.Errorf("goes on by %v, %s", r.Header, r.URL)
		}
		return false
	}
	client := clientOf(t, Config{Bucket: bucket, Source: source})
	if data, _, err := client.Fetch(t.Context(), value, WithRecord(Coordinates{"t", 1, 2})); string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	_, _, err := client.Fetch(t.Context(), envelopeOf("secret", "x"))
	wantKind(t, err, ErrNotAllowed)
}

func TestPresignedURLIsInNoError(t *testing.T) {
	for _, address := range []string{"http://127.0.0.1:1/b/k?X-Amz-Signature=hush", "http://[hush", "ftp://hush"} {
		source := PresignedSource(func(context.Context, Envelope, *Coordinates) (string, error) { return address, nil })
		_, _, err := clientOf(t, Config{Bucket: bucket, Source: source}).Fetch(t.Context(), envelopeOf(key, blob))
		for ; err != nil; err = errors.Unwrap(err) {
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestAnswersThatAreNoBlobOverHTTP(t *testing.T) {
	answer := func(status int, mediaType, body string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			io.WriteString(w, body) //nolint:errcheck // the client reads it or fails
		}
	}
	problem := func(status int, name string) func(w http.ResponseWriter) {
		return answer(status, "application/problem+json", `{"type":"/problems/`+name+`","detail":"the proxy's words"}`)
	}
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter)
		want   error
		tries  int
	}{
		{"no such key", answer(404, "application/xml", "<Error><Code>NoSuchKey</Code></Error>"), ErrBlobMissing, 1},
		{"no such bucket", answer(404, "application/xml", "<Error><Code>NoSuchBucket</Code></Error>"), ErrStoreRefused, 1},
		{"expired", answer(403, "application/xml", "<Error><Code>AccessDenied</Code></Error>"), ErrStoreRefused, 1},
		{"redirect", answer(307, "", ""), ErrStoreRefused, 1},
		{"slow down", answer(503, "application/xml", "<Error><Code>SlowDown</Code></Error>"), ErrStoreUnavailable, DefaultTries},
		{"blob missing", problem(404, "blob-missing"), ErrBlobMissing, 1},
		{"no such record", problem(404, "no-such-record"), ErrStoreRefused, 1},
		{"unknown topic", problem(404, "unknown-topic"), ErrStoreRefused, 1},
		{"checksum", problem(502, "checksum-mismatch"), ErrChecksumMismatch, 1},
		{"truncated", problem(502, "blob-truncated"), ErrTruncated, 1},
		{"not allowed", problem(403, "envelope-not-allowed"), ErrNotAllowed, 1},
		{"refused", problem(502, "store-refused"), ErrStoreRefused, 1},
		{"no key", problem(401, "api-key-required"), ErrStoreRefused, 1},
		{"draining", problem(503, "draining"), ErrStoreUnavailable, DefaultTries},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				test.answer(w)
			}))
			defer proxy.Close()
			source, err := ProxySource(proxy.URL, "")
			if err != nil {
				t.Fatal(err)
			}
			client := clientOf(t, Config{Source: source})
			_, err = client.Open(t.Context(), envelopeOf(key, blob), WithRecord(Coordinates{}))
			wantKind(t, err, test.want)
			if asked != test.tries {
				t.Errorf("%d requests", asked)
			}
		})
	}
}

func TestProxySource(t *testing.T) {
	asked := 0
	changed := false
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.EscapedPath() != "/base/v1/topics/a%2Fb/partitions/3/records/7" {
			t.Errorf("%s by %v", r.URL, r.Header)
		}
		if asked%2 == 1 {
			cut(w, blob, 0, 1000)
		}
		if r.Header.Get("Range") != "bytes=1000-" || r.Header.Get("If-Range") != etag(blob) || r.Header.Get("If-Match") != "" {
			t.Errorf("goes on by %v", r.Header)
		}
		if changed {
			io.WriteString(w, blob) //nolint:errcheck // the client may not want it
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)-1000))
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, blob[1000:]) //nolint:errcheck // is looked at by the reader
	}))
	defer proxy.Close()
	source, err := ProxySource(proxy.URL+"/base/", "secret")
	if err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, Config{Source: source})
	at := WithRecord(Coordinates{"a/b", 3, 7})
	// The proxy decides which bucket may be read.
	if data, _, err := client.Fetch(t.Context(), envelopeOf("anywhere", blob), at); string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	changed = true
	_, _, err = client.Fetch(t.Context(), envelopeOf(key, blob), at)
	wantKind(t, err, ErrStoreUnavailable)
	_, _, err = client.Fetch(t.Context(), envelopeOf(key, blob))
	wantKind(t, err, ErrStoreRefused)
	if asked != 4 || !strings.Contains(err.Error(), "WithRecord") {
		t.Errorf("%v after %d requests", err, asked)
	}
	narrow := clientOf(t, Config{Source: source, Bucket: bucket})
	_, _, err = narrow.Fetch(t.Context(), envelopeOf("anywhere", blob), at)
	wantKind(t, err, ErrNotAllowed)
	for _, address := range []string{"", "localhost:8080", "ftp://x"} {
		if _, err := ProxySource(address, ""); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}

func TestSourcesNeedBuckets(t *testing.T) {
	source := S3Source(doubled(nil))
	if _, err := New(t.Context(), Config{Source: source}); err == nil {
		t.Error("any bucket is allowed")
	}
	if _, err := New(t.Context(), Config{Source: source, Buckets: []string{bucket}}); err != nil {
		t.Error(err)
	}
}
