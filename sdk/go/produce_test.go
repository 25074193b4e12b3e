package lfs

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHeaders(t *testing.T) {
	for want, headers := range map[string][]Header{
		"[LFS_BLOB=]":                            Headers([]byte("hello"), MarkOptions{}),
		"[]":                                     Headers(nil, MarkOptions{Verify: true}),
		"[LFS_BLOB= LFS_BLOB_ALG=md5]":           Headers([]byte{}, MarkOptions{Algorithm: MD5}),
		"[LFS_BLOB= content-type=a/b]":           Headers([]byte("hello"), MarkOptions{ContentType: "a/b"}),
		"[LFS_BLOB=ab LFS_BLOB_ALG=sha256]":      Headers([]byte("hello"), MarkOptions{Checksum: "ab"}),
		"[LFS_BLOB=3610a686 LFS_BLOB_ALG=crc32]": Headers([]byte("hello"), MarkOptions{Algorithm: CRC32, Verify: true}),
		"[LFS_BLOB= LFS_BLOB_ALG=sha1]":          Headers([]byte("hello"), MarkOptions{Algorithm: "sha1", Verify: true}),
	} {
		var got []string
		for _, header := range headers {
			if header.Value == nil {
				t.Errorf("%s is null", header.Key)
			}
			got = append(got, header.Key+"="+string(header.Value))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

func TestUpload(t *testing.T) {
	partition := int32(3)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		query := r.URL.Query()
		if err != nil || string(body) != blob || r.ContentLength != -1 || r.Method != http.MethodPost ||
			r.URL.EscapedPath() != "/base/v1/topics/a%2Fb/records" || r.Header.Get("Authorization") != "Bearer secret" ||
			r.Header.Get("Content-Type") != "application/octet-stream" || query.Get("content_type") != "multipart/form-data; boundary=b" ||
			query.Get("key_base64") != "AP8=" || query.Get("partition") != "3" ||
			fmt.Sprint(query["header"]) != "[x:a b&+\xff lfs-filename:ä.png]" || query.Get("timestamp") != "1700000000000" ||
			query.Get("checksum") != sha256Of(blob) || query.Get("checksum_algo") != "sha256" {
			t.Errorf("%v %s, %d bytes of %d, %v", r.Header, r.URL, len(body), r.ContentLength, err)
		}
		w.Header().Set("Location", "/v1/topics/a%2Fb/partitions/3/records/7")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"topic":"a/b","partition":3,"offset":7,"timestamp":1700000000000,"envelope":%s}`, envelopeOf(key, blob))
	}))
	defer proxy.Close()
	uploader, err := NewUploader(proxy.URL+"/base/", WithAPIKey("other"), WithHTTPClient(proxy.Client()))
	if err != nil {
		t.Fatal(err)
	}
	record, err := uploader.Upload(t.Context(), "a/b", io.MultiReader(strings.NewReader(blob)), UploadOptions{
		Key: []byte{0, 255}, Headers: []Header{{"x", []byte("a b&+\xff")}}, Filename: "ä.png", ContentType: "multipart/form-data; boundary=b",
		Checksum: sha256Of(blob), APIKey: "secret", Partition: &partition, Timestamp: time.UnixMilli(1700000000000),
	})
	if err != nil || record.Topic != "a/b" || record.Partition != 3 || record.Offset != 7 || record.Envelope.Key != key ||
		record.Envelope.Length != int64(len(blob)) || record.Location != "/v1/topics/a%2Fb/partitions/3/records/7" {
		t.Errorf("%+v, %v", record, err)
	}
}

func TestUploadRefused(t *testing.T) {
	for _, test := range []struct {
		status     int
		mediaType  string
		body       string
		name       string
		retryAfter time.Duration
		is         error
	}{
		{400, "application/problem+json", `{"type":"/problems/checksum-mismatch","detail":"d","expected":"e","actual":"a"}`,
			"checksum-mismatch", 0, ErrChecksumMismatch},
		{413, "application/problem+json", `{"type":"/problems/too-large","detail":"d"}`, "too-large", 0, ErrTooLarge},
		{503, "application/problem+json; charset=utf-8", `{"type":"/problems/draining","detail":"d"}`, "draining", 5 * time.Second, nil},
		{504, "text/html", "<h1>gateway</h1>", "gateway-timeout", 0, nil},
		{307, "", "", "temporary-redirect", 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", test.mediaType)
				w.Header().Set("Location", "/elsewhere")
				if test.retryAfter > 0 {
					w.Header().Set("Retry-After", fmt.Sprint(test.retryAfter.Seconds()))
				}
				w.WriteHeader(test.status)
				io.WriteString(w, test.body) //nolint:errcheck // the client reads it or fails
			}))
			defer proxy.Close()
			uploader, err := NewUploader(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, err = uploader.Upload(t.Context(), "t", strings.NewReader("hello"), UploadOptions{})
			var problem *ProblemError
			if !errors.As(err, &problem) {
				t.Fatalf("is %v", err)
			}
			if problem.Name() != test.name || problem.Status != test.status || problem.RetryAfter != test.retryAfter {
				t.Errorf("is %+v", problem)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("is no %v", test.is)
			}
		})
	}
}

func TestUploadAnsweredByNoProxy(t *testing.T) {
	for _, answer := range []string{
		"", "{}", "null", "[]", `{"topic":"t","partition":0,"offset":7,"timestamp":0}`,
		`{"topic":"t","partition":0,"offset":7,"timestamp":0,"envelope":{"lfs_version":1}}`,
		`{"topic":"t","partition":0,"offset":"7","timestamp":0,"envelope":` + string(envelopeOf(key, blob)) + `}`,
	} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, answer) //nolint:errcheck // the client reads it or fails
		}))
		uploader, err := NewUploader(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		record, err := uploader.Upload(t.Context(), "t", strings.NewReader("hello"), UploadOptions{})
		proxy.Close()
		if err == nil || record != (Record{}) {
			t.Errorf("%s is read as %+v", answer, record)
		}
	}
}

func TestUploadCutOff(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer proxy.Close()
	uploader, err := NewUploader(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = uploader.Upload(t.Context(), "t", strings.NewReader("hello"), UploadOptions{})
	var problem *ProblemError
	if err == nil || errors.As(err, &problem) {
		t.Errorf("is %v", err)
	}
	for _, address := range []string{"", "localhost:8080", "ftp://x"} {
		if _, err := NewUploader(address); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}
