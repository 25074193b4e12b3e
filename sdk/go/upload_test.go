package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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
		{503, "application/problem+json; charset=utf-8", `{"type":"/problems/draining","detail":"d"}`, "draining", 5 * time.Second, ErrProxyUnavailable},
		{503, "text/html", "<h1>gateway</h1>", "proxy-unavailable", 0, ErrProxyUnavailable},
		{504, "text/html", "<h1>gateway</h1>", "gateway-timeout", 0, ErrOutcomeUnknown},
		{504, "application/problem+json", `{"type":"/problems/outcome-unknown","detail":"d"}`, "outcome-unknown", 0, ErrOutcomeUnknown},
		{502, "application/problem+json", `{"type":"/problems/store-refused","detail":"d"}`, "store-refused", 0, ErrStoreRefused},
		{429, "", "", "too-many-requests", 0, nil},
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
			if unknown := test.is == ErrOutcomeUnknown; errors.Is(err, ErrOutcomeUnknown) != unknown || Retriable(err) != (test.status == 503 || test.status == 429) {
				t.Errorf("outcome unknown: %v, retriable: %v", !unknown, Retriable(err))
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
		if !errors.Is(err, ErrOutcomeUnknown) || record != (Record{}) {
			t.Errorf("%s is read as %+v", answer, record)
		}
	}
}

func TestAddressesOfProxies(t *testing.T) {
	for _, address := range []string{"", "localhost:8080", "ftp://x"} {
		if _, err := NewUploader(address); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
	if _, err := NewUploader("http://localhost:8080", WithHTTPClient(nil)); err != nil {
		t.Error(err)
	}
}

func newUploader(t *testing.T, address string) *Uploader {
	t.Helper()
	uploader, err := NewUploader(address)
	if err != nil {
		t.Fatal(err)
	}
	return uploader
}

func published(w http.ResponseWriter) {
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"topic":"t","partition":0,"offset":7,"timestamp":1,"envelope":%s}`, envelopeOf(key, blob))
}

// TestFileMayBeSentAgain: after a refusal that came before the body was read whole, too.
func TestFileMayBeSentAgain(t *testing.T) {
	tries := 0
	var received []byte
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			io.CopyN(io.Discard, r.Body, 1000) //nolint:errcheck // what counts is the second try
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		received, _ = io.ReadAll(r.Body)
		if r.ContentLength != int64(len(blob)) {
			t.Errorf("the proxy is told %d bytes", r.ContentLength)
		}
		published(w)
	}))
	defer proxy.Close()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(blob), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	uploader := newUploader(t, proxy.URL)
	_, err = uploader.Upload(t.Context(), "t", file, UploadOptions{})
	if !errors.Is(err, ErrProxyUnavailable) || !Retriable(err) {
		t.Fatalf("is %v", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatalf("the file cannot be sent again: %v", err)
	}
	if _, err := uploader.Upload(t.Context(), "t", file, UploadOptions{}); err != nil || string(received) != blob {
		t.Errorf("%v, %d bytes received", err, len(received))
	}
	if err := file.Close(); err != nil {
		t.Errorf("the file was closed: %v", err)
	}
}

// TestBodyIsNotReadAfterUpload: whoever sends it again reads it alone.
func TestBodyIsNotReadAfterUpload(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1) //nolint:errcheck // the answer comes in the middle
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	defer proxy.Close()
	uploader := newUploader(t, proxy.URL)
	for range 20 {
		var over, after atomic.Bool
		body := readerFunc(func(into []byte) (int, error) {
			if over.Load() {
				after.Store(true)
			}
			return len(into), nil
		})
		_, err := uploader.Upload(t.Context(), "t", body, UploadOptions{})
		over.Store(true)
		if err == nil {
			t.Error("endless, and published")
		}
		time.Sleep(time.Millisecond)
		if after.Load() {
			t.Fatal("the body was read after Upload has returned")
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(into []byte) (int, error) { return f(into) }

func TestUploadCutOff(t *testing.T) {
	wrong := errors.New("the disk is broken")
	after := func(count int64) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, count) //nolint:errcheck // the connection is dropped
			panic(http.ErrAbortHandler)
		}
	}
	endless := readerFunc(func(into []byte) (int, error) { return len(into), nil })
	for name, test := range map[string]struct {
		proxy  http.HandlerFunc
		body   io.Reader
		length int64
		want   error
	}{
		"before the body":         {after(0), endless, 0, ErrProxyUnavailable},
		"in the body":             {after(1000), endless, 1 << 40, ErrProxyUnavailable},
		"after the body":          {after(1 << 40), strings.NewReader(blob), 0, ErrOutcomeUnknown},
		"after a body in chunks":  {after(1 << 40), io.MultiReader(strings.NewReader(blob)), 0, ErrOutcomeUnknown},
		"after a body of nothing": {after(0), strings.NewReader(""), 0, ErrOutcomeUnknown},
		"after no body":           {after(0), nil, 0, ErrOutcomeUnknown},
		"answer cut off": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // it is a string
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, "{") //nolint:errcheck // so is that
		}, strings.NewReader(blob), 0, ErrOutcomeUnknown},
		"body that fails": {after(1 << 40), io.MultiReader(strings.NewReader(blob), readerFunc(func([]byte) (int, error) { return 0, wrong })), 0, wrong},
		"body too short":  {after(1 << 40), strings.NewReader(blob), 1 << 40, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := httptest.NewUnstartedServer(test.proxy)
			proxy.Config.ErrorLog = silent
			proxy.Start()
			defer proxy.Close()
			_, err := newUploader(t, proxy.URL).Upload(t.Context(), "t", test.body, UploadOptions{Length: test.length})
			var problem *ProblemError
			if !errors.Is(err, test.want) || errors.As(err, &problem) || Retriable(err) != (test.want == ErrProxyUnavailable) {
				t.Errorf("is %v, want %v", err, test.want)
			}
		})
	}
	_, err := newUploader(t, "http://127.0.0.1:1").Upload(t.Context(), "t", strings.NewReader("hello"), UploadOptions{})
	wantKind(t, err, ErrProxyUnavailable)
}

func TestContextEndsAnUpload(t *testing.T) {
	arrived := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, 1000) //nolint:errcheck // the client goes away
		arrived <- struct{}{}
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			<-r.Context().Done()
		}
	}))
	defer proxy.Close()
	cause := errors.New("no longer wanted")
	pipe, _ := io.Pipe()
	for name, test := range map[string]struct {
		body io.Reader
		want []error
		not  error
	}{
		"sent":    {strings.NewReader(blob[:1000]), []error{context.Canceled, cause, ErrOutcomeUnknown}, ErrProxyUnavailable},
		"waiting": {io.MultiReader(strings.NewReader(blob[:1000]), pipe), []error{context.Canceled, cause}, ErrOutcomeUnknown},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-arrived
			cancel(cause)
		}()
		_, err := newUploader(t, proxy.URL).Upload(ctx, "t", test.body, UploadOptions{})
		for _, want := range test.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is no %v", name, err, want)
			}
		}
		if errors.Is(err, test.not) || Retriable(err) {
			t.Errorf("%s: is %v", name, err)
		}
	}
}

func TestUploadTellsItsProgress(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // it is a string
		published(w)
	}))
	defer proxy.Close()
	for _, text := range []string{blob, ""} {
		last := int64(-1)
		_, err := newUploader(t, proxy.URL).Upload(t.Context(), "t", strings.NewReader(text), UploadOptions{
			OnProgress: func(size int64) {
				if size < last {
					t.Errorf("goes back from %d to %d", last, size)
				}
				last = size
			},
		})
		if err != nil || last != int64(len(text)) {
			t.Errorf("%v, last %d", err, last)
		}
	}
}

// TestPanicInAnUploadIsTheCallers: it comes out of Upload, where it can be recovered, and not out of a goroutine
// of the HTTP client.
func TestPanicInAnUploadIsTheCallers(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // it breaks off
		published(w)
	}))
	defer proxy.Close()
	enough := func(int64) { panic("enough") }
	for name, upload := range map[string]func() (Record, error){
		"of the progress": func() (Record, error) {
			return newUploader(t, proxy.URL).Upload(t.Context(), "t", strings.NewReader(blob), UploadOptions{OnProgress: enough})
		},
		"of the body": func() (Record, error) {
			return newUploader(t, proxy.URL).Upload(t.Context(), "t", panicking{}, UploadOptions{})
		},
	} {
		func() {
			defer func() {
				if with := recover(); with != "enough" {
					t.Errorf("%s: it panics with %v", name, with)
				}
			}()
			_, err := upload()
			t.Errorf("%s: it returns %v", name, err)
		}()
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("enough") }

// TestFileThatGrowsIsSentAsLongAsItWas, and whole: nothing beyond Length is read.
func TestFileThatGrowsIsSentAsLongAsItWas(t *testing.T) {
	var received []byte
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received, _ = io.ReadAll(r.Body)
		published(w)
	}))
	defer proxy.Close()
	body := strings.NewReader(blob)
	_, err := newUploader(t, proxy.URL).Upload(t.Context(), "t", body, UploadOptions{Length: 1000})
	if err != nil || string(received) != blob[:1000] || body.Len() != len(blob)-1000 {
		t.Errorf("%v, %d bytes received, %d left", err, len(received), body.Len())
	}
}

// TestFileIsSentFromWhereItStands, a pipe until it ends.
func TestFileIsSentFromWhereItStands(t *testing.T) {
	var received []byte
	var told int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received, _ = io.ReadAll(r.Body)
		told = r.ContentLength
		published(w)
	}))
	defer proxy.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.WriteString(file, "0123456789"); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(7, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"789", ""} { // the second stands at its end
		if _, err := newUploader(t, proxy.URL).Upload(t.Context(), "t", file, UploadOptions{}); err != nil || string(received) != want || told != int64(len(want)) {
			t.Errorf("%v, %q of %d bytes", err, received, told)
		}
	}
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	go func() {
		io.WriteString(to, "piped") //nolint:errcheck // the test sees what arrives
		to.Close()
	}()
	if _, err := newUploader(t, proxy.URL).Upload(t.Context(), "t", from, UploadOptions{}); err != nil || string(received) != "piped" || told != -1 {
		t.Errorf("%v, %q of %d bytes", err, received, told)
	}
}
