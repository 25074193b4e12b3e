package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const key = "lfs/default/demo-topic/0/42-6f1c2a04.bin"

var blob = strings.Repeat("0123456789", 100_000)

// TestKeysByteForByte holds what goes over the wire to the key's own bytes, whatever they are.
func TestKeysByteForByte(t *testing.T) {
	for _, name := range []string{
		"lfs/a//b", "lfs//", "lfs/a b", "lfs/a+b", "lfs/100%", "lfs/%2F%2e%2e", "lfs/ä/☃", "lfs/...", "lfs/a../.b/c.",
		"lfs/?x=1&y#z", "lfs/a;b:c@d!e$f'(g)*h,i=j", "lfs/{a}|\\^`", "lfs/\x01\x7f", "lfs/a/", "//lfs", "lfs/~-_",
	} {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore(t)
			value := store.put(name, "hello")
			client := store.client(t, func(c *Config) { c.Prefixes = []string{""} })
			data, _, err := client.Fetch(t.Context(), value)
			if string(data) != "hello" || err != nil {
				t.Errorf("got %q, %v from %s", data, err, store.requests[0].RequestURI)
			}
		})
	}
}

func TestDropsAreTakenUpWhereTheyWere(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	const step = 100_000
	store.before = func(try int, w http.ResponseWriter, r *http.Request) bool {
		if first := (try - 1) * step; first < len(blob)-step {
			if try > 1 && (r.Header.Get("Range") != fmt.Sprintf("bytes=%d-", first) || r.Header.Get("If-Match") != etag(blob)) {
				t.Errorf("try %d asks for %q of %q", try, r.Header.Get("Range"), r.Header.Get("If-Match"))
			}
			cut(w, blob, first, step)
		}
		return false
	}
	data, _, err := store.client(t).Fetch(t.Context(), value)
	if string(data) != blob || err != nil {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if store.tries() != 10 { // more than would be tried without progress
		t.Errorf("%d requests", store.tries())
	}
}

func TestGivesUpWithoutProgress(t *testing.T) {
	for name, refusal := range map[string]func(http.ResponseWriter){
		"503":      func(w http.ResponseWriter) { refuse(w, 503, "SlowDown") },
		"dropped":  func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"half cut": func(w http.ResponseWriter) { cut(w, blob, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore(t)
			value := store.put(key, blob)
			store.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool { refusal(w); return true }
			_, _, err := store.client(t).Fetch(t.Context(), value)
			wantKind(t, err, ErrStoreUnavailable)
			if store.tries() != DefaultTries {
				t.Errorf("%d requests", store.tries())
			}
		})
	}
}

func TestAnswersThatAreNoBlob(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", ErrBlobMissing}, {404, "NoSuchBucket", ErrStoreRefused}, {403, "AccessDenied", ErrStoreRefused},
		{301, "PermanentRedirect", ErrStoreRefused}, {400, "InvalidRequest", ErrStoreRefused}, {206, "", ErrStoreRefused},
		{412, "PreconditionFailed", ErrStoreRefused},
	} {
		t.Run(fmt.Sprint(test.status, test.code), func(t *testing.T) {
			store := newFakeStore(t)
			value := store.put(key, blob)
			store.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				refuse(w, test.status, test.code)
				return true
			}
			_, _, err := resolve(store.client(t), t.Context(), value)
			wantKind(t, err, test.want)
			if store.tries() != 1 {
				t.Errorf("%d requests", store.tries())
			}
		})
	}
}

func TestAnotherObjectAfterADrop(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	store.before = func(try int, w http.ResponseWriter, _ *http.Request) bool {
		if try == 1 {
			store.put(key, strings.ToUpper(blob)+" ")
			cut(w, blob, 0, 1000)
		}
		return false
	}
	_, _, err := store.client(t).Fetch(t.Context(), value)
	wantKind(t, err, ErrStoreUnavailable)
}

// TestLastBytesAreWithheld: neither whoever reads to the end nor whoever reads Length bytes gets a wrong blob.
func TestLastBytesAreWithheld(t *testing.T) {
	wrong := blob[:len(blob)-1] + "x"
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"large reads": func(r io.Reader) io.Reader { return r },
		"small reads": func(r io.Reader) io.Reader { return iotest.OneByteReader(r) },
	} {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore(t)
			value := store.put(key, blob)
			store.put(key, wrong)
			stream, _, err := resolve(store.client(t), t.Context(), value)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			n, err := io.ReadFull(wrap(stream), make([]byte, len(blob)))
			if n >= len(blob) {
				t.Error("the last byte was handed out")
			}
			wantKind(t, err, ErrChecksumMismatch)
			var failed *Error
			if errors.As(err, &failed); failed.Expected != sha256Of(blob) || failed.Actual != sha256Of(wrong) {
				t.Errorf("names %s and %s", failed.Expected, failed.Actual)
			}
			if n, again := stream.Read(make([]byte, 1)); n != 0 || again != err {
				t.Errorf("a later read gives %d, %v", n, again)
			}
		})
	}
}

func TestReaderKeepsTheRulesOfReaders(t *testing.T) {
	store := newFakeStore(t)
	stream, _, err := resolve(store.client(t), t.Context(), store.put(key, blob[:5000]))
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(stream, []byte(blob[:5000])); err != nil {
		t.Error(err)
	}
}

func TestChunkedAnswersAreMeasured(t *testing.T) {
	for name, test := range map[string]struct {
		sent string
		want error
	}{
		"whole": {blob, nil}, "short": {blob[1:], ErrTruncated}, "long": {blob + "x", ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore(t)
			store.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
				w.(http.Flusher).Flush()
				io.WriteString(w, test.sent) //nolint:errcheck // the reader may have enough
				return true
			}
			data, _, err := store.client(t).Fetch(t.Context(), envelopeOf(key, blob))
			if test.want == nil && (string(data) != blob || err != nil) {
				t.Errorf("%d bytes, %v", len(data), err)
			} else if test.want != nil {
				wantKind(t, err, test.want)
			}
		})
	}
}

func TestEncodedObjectsComeAsTheyAre(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, "not gzip at all")
	store.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("X-Amz-Checksum-Crc32", "AAAAAA==")
		if r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("asks for %q", r.Header.Get("Accept-Encoding"))
		}
		return false
	}
	data, _, err := store.client(t).Fetch(t.Context(), value)
	if string(data) != "not gzip at all" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestSilenceIsADrop(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	gone := make(chan struct{})
	store.before = func(try int, w http.ResponseWriter, r *http.Request) bool {
		if try == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
			io.WriteString(w, blob[:1000]) //nolint:errcheck // is looked at by the reader
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
			return true
		}
		return false
	}
	client := store.client(t, func(c *Config) { c.ReadTimeout = 50 * time.Millisecond })
	data, _, err := client.Fetch(t.Context(), value)
	if string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	<-gone
}

func TestContextEndsAStream(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	store.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		io.WriteString(w, blob[:1000]) //nolint:errcheck // is looked at by the reader
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	var told []Resolution
	client := store.client(t, func(c *Config) { c.OnResolve = func(_ context.Context, r Resolution) { told = append(told, r) } })
	ctx, cancel := context.WithCancel(t.Context())
	stream, _, err := resolve(client, ctx, value)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if _, err := io.ReadFull(stream, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("is %v", err)
	}
	if len(told) != 1 || told[0].Result != ResultCancelled || !errors.Is(told[0].Err, context.Canceled) || store.tries() != 1 {
		t.Errorf("told %+v after %d requests", told, store.tries())
	}
}

func TestHookIsToldEachResultOnce(t *testing.T) {
	store := newFakeStore(t)
	var told []Resolution
	client := store.client(t, func(c *Config) {
		c.MaxSize = int64(len(blob))
		c.OnResolve = func(_ context.Context, r Resolution) { told = append(told, r) }
	})
	early, _, err := resolve(client, t.Context(), store.put(key, blob))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(early, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	early.Close()
	early.Close()
	if _, err := early.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a closed blob reads as %v", err)
	}
	for _, value := range [][]byte{
		store.put(key, blob), []byte("ordinary"), envelopeOf("lfs/none", "x"), envelopeOf("secret", "x"),
		envelopeOf(key, blob+"x"),
	} {
		client.Fetch(t.Context(), value) //nolint:errcheck // the hook is what is looked at
	}
	var results []string
	for _, one := range told {
		results = append(results, one.Result)
		if (one.Err == nil) != (one.Result == ResultOK || one.Result == ResultClosed) || one.Duration < 0 {
			t.Errorf("told %+v", one)
		}
	}
	if fmt.Sprint(results) != "[closed ok blob-missing envelope-not-allowed too-large]" {
		t.Errorf("told %v", results)
	}
	if told[0].Size != 10 || told[1].Size != int64(len(blob)) {
		t.Errorf("told %d and %d bytes", told[0].Size, told[1].Size)
	}
}

func TestOnMissing(t *testing.T) {
	value := envelopeOf(key, "x")
	for missing, want := range map[OnMissing]string{Skip: "", KeepEnvelope: string(value)} {
		client := newFakeStore(t).client(t, func(c *Config) { c.OnMissing = missing })
		data, info, err := client.Fetch(t.Context(), value)
		if string(data) != want || !info.Missing || info.Envelope == nil || err != nil {
			t.Errorf("%d: %q, %+v, %v", missing, data, info, err)
		}
		if streamed, info, err := readAll(t, client, value); string(streamed) != want || !info.Missing || err != nil {
			t.Errorf("%d streams %q, %+v, %v", missing, streamed, info, err)
		}
	}
}

// TestOnMissingInTheMiddle: a blob that vanishes between two tries is as missing as any.
func TestOnMissingInTheMiddle(t *testing.T) {
	for missing, want := range map[OnMissing]string{Skip: "", KeepEnvelope: string(envelopeOf(key, blob))} {
		store := newFakeStore(t)
		value := store.put(key, blob)
		store.before = func(try int, w http.ResponseWriter, _ *http.Request) bool {
			if try == 1 {
				cut(w, blob, 0, 1000)
			}
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return true
		}
		client := store.client(t, func(c *Config) { c.OnMissing = missing })
		data, info, err := client.Fetch(t.Context(), value)
		if string(data) != want || !info.Missing || info.Envelope == nil || err != nil || store.tries() != 2 {
			t.Errorf("%d: %d bytes, %+v, %v after %d requests", missing, len(data), info, err, store.tries())
		}
	}
}

func TestNoCredentialsIsARefusal(t *testing.T) {
	store := newFakeStore(t)
	client := store.client(t, func(c *Config) {
		c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("none found")
		})
	})
	_, _, err := client.Fetch(t.Context(), store.put(key, blob))
	wantKind(t, err, ErrStoreRefused)
	if store.tries() != 0 || !strings.Contains(err.Error(), "none found") {
		t.Errorf("%v after %d requests", err, store.tries())
	}
}

func wantKind(t *testing.T, err, want error) {
	t.Helper()
	var failed *Error
	if !errors.Is(err, want) || !errors.As(err, &failed) || "lfs: "+failed.Name() != want.Error() {
		t.Errorf("is %v, want %v", err, want)
	}
}
