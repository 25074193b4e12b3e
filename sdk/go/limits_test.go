package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMaxSize(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	large := []byte(strings.Replace(string(value), `"content_length":1000000`, fmt.Sprintf(`"content_length":%d`, DefaultMaxFetch+1), 1))
	opened := func(c *Client, value []byte) error {
		blob, err := c.Open(t.Context(), value)
		if err == nil {
			blob.Close()
		}
		return err
	}
	fetched := func(c *Client, value []byte) error {
		_, _, err := c.Fetch(t.Context(), value)
		return err
	}
	for _, test := range []struct {
		maxSize int64
		value   []byte
		read    func(*Client, []byte) error
		want    error
		says    string
	}{
		{0, large, fetched, ErrTooLarge, "MaxSize is not set (268435456 bytes): set it, or use Open, whose stream has no such limit"},
		{0, large, opened, ErrTruncated, ""}, // the store's is shorter: it was asked
		{Unlimited, large, fetched, ErrTruncated, ""},
		{Unlimited, large, opened, ErrTruncated, ""},
		{DefaultMaxFetch + 1, large, fetched, ErrTruncated, ""},
		{int64(len(blob)) - 1, value, fetched, ErrTooLarge, "MaxSize allows (999999 bytes)"},
		{int64(len(blob)) - 1, value, opened, ErrTooLarge, "MaxSize allows (999999 bytes)"},
	} {
		before := store.tries()
		err := test.read(store.client(t, func(c *Config) { c.MaxSize = test.maxSize }), test.value)
		wantKind(t, err, test.want)
		if asked := store.tries() > before; !strings.Contains(err.Error(), test.says) || asked != (test.want == ErrTruncated) {
			t.Errorf("%d: %v, asked: %v", test.maxSize, err, asked)
		}
	}
}

func TestDeadlineIsATimeout(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	store.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
		io.WriteString(w, blob[:1000]) //nolint:errcheck // is looked at by the reader
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	type seen struct{}
	var told []Resolution
	client := store.client(t, func(c *Config) {
		c.OnResolve = func(ctx context.Context, r Resolution) {
			if ctx.Value(seen{}) != "the caller's" {
				t.Error("the hook has another context")
			}
			told = append(told, r)
		}
	})
	cause := errors.New("no time left")
	ctx := context.WithValue(t.Context(), seen{}, "the caller's")
	for _, end := range []func() (context.Context, context.CancelFunc){
		func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 30*time.Millisecond) },
		func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 30*time.Millisecond, cause)
		},
	} {
		ctx, cancel := end()
		defer cancel()
		_, _, err := client.Fetch(ctx, value, WithRecord(Coordinates{"t", 1, 2}))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, context.Cause(ctx)) || Retriable(err) {
			t.Errorf("is %v", err)
		}
	}
	for _, one := range told {
		if one.Result != ResultTimeout || !errors.Is(one.Err, context.DeadlineExceeded) || one.Tries != 1 || *one.Record != (Coordinates{"t", 1, 2}) {
			t.Errorf("told %+v", one)
		}
	}
	if len(told) != 2 {
		t.Errorf("told %d times", len(told))
	}
}

func TestNothingIsAskedForAfterTheContext(t *testing.T) {
	store := newFakeStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.client(t).Open(ctx, store.put(key, blob)); !errors.Is(err, context.Canceled) || store.tries() != 0 {
		t.Errorf("%v after %d requests", err, store.tries())
	}
}

func TestRetrySettings(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	store.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool { refuse(w, 503, "SlowDown"); return true }
	for _, test := range []struct {
		option Option
		tries  int
	}{
		{func(c *Config) { c.Tries = 2 }, 2},
		{func(c *Config) { c.Tries = 7 }, 7},
		{func(c *Config) { c.Tries, c.RetryTime, c.Pause = 100, time.Second, 10*time.Second }, 1},
		{func(c *Config) { c.Tries, c.RetryTime, c.Pause = 3, time.Hour, time.Nanosecond }, 3},
	} {
		before := store.tries()
		var told Resolution
		var pauses []time.Duration
		client := store.client(t, test.option, func(c *Config) {
			c.OnResolve = func(_ context.Context, r Resolution) { told = r }
		})
		client.pause = func(_ context.Context, pause time.Duration) error { pauses = append(pauses, pause); return nil }
		_, _, err := client.Fetch(t.Context(), value)
		wantKind(t, err, ErrStoreUnavailable)
		if sent := store.tries() - before; sent != test.tries || told.Tries != sent || len(pauses) != sent-1 || !Retriable(err) {
			t.Errorf("%d requests, want %d; told %+v, paused %v", sent, test.tries, told, pauses)
		}
		for i, pause := range pauses {
			longest := min(longestPause, client.config.Pause<<i)
			if pause < longest/2 || pause > longest {
				t.Errorf("pause %d is %s", i, pause)
			}
		}
	}
}

func TestProgress(t *testing.T) {
	store := newFakeStore(t)
	for _, text := range []string{blob, ""} {
		for name, read := range map[string]func(*Client, []byte, ReadOption) error{
			"whole": func(c *Client, value []byte, option ReadOption) error {
				_, _, err := c.Fetch(t.Context(), value, option)
				return err
			},
			"stream": func(c *Client, value []byte, option ReadOption) error {
				opened, err := c.Open(t.Context(), value, option)
				if err != nil {
					return err
				}
				defer opened.Close()
				_, err = io.Copy(io.Discard, opened.Stream)
				return err
			},
		} {
			last, calls := int64(-1), 0
			err := read(store.client(t), store.put(key, text), WithProgress(func(size int64) {
				if size < last {
					t.Errorf("%s goes back from %d to %d", name, last, size)
				}
				last, calls = size, calls+1
			}))
			if err != nil || last != int64(len(text)) || calls == 0 {
				t.Errorf("%s: %v, last %d of %d calls", name, err, last, calls)
			}
		}
	}
}

func TestOpenTellsTombstoneSkippedAndEmptyApart(t *testing.T) {
	store := newFakeStore(t)
	missing := envelopeOf("lfs/none", "x")
	for _, test := range []struct {
		name      string
		value     []byte
		onMissing OnMissing
		content   string // "-": no stream
		missing   bool
		envelope  bool
	}{
		{"tombstone", nil, Skip, "-", false, false},
		{"empty value", []byte{}, Skip, "", false, false},
		{"ordinary", []byte("hello"), Skip, "hello", false, false},
		{"skipped", missing, Skip, "-", true, true},
		{"kept", missing, KeepEnvelope, string(missing), true, true},
		{"blob", store.put(key, "a blob"), Skip, "a blob", false, true},
		{"empty blob", store.put("lfs/empty", ""), Skip, "", false, true},
	} {
		client := store.client(t, func(c *Config) { c.OnMissing = test.onMissing })
		opened, err := client.Open(t.Context(), test.value)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		content := "-"
		if opened.Stream != nil {
			data, err := io.ReadAll(opened.Stream)
			if content = string(data); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if content != test.content || opened.Missing != test.missing || (opened.Envelope != nil) != test.envelope || opened.Close() != nil {
			t.Errorf("%s: %q, %+v", test.name, content, opened.Info)
		}
		data, info, err := client.Fetch(t.Context(), test.value)
		if (data == nil) != (test.content == "-") || info.Missing != test.missing || err != nil {
			t.Errorf("%s fetched: %q, %+v, %v", test.name, data, info, err)
		}
	}
}

func TestErrorsWithoutAKind(t *testing.T) {
	for _, err := range []*Error{{}, {Kind: io.EOF}} {
		if err.Name() != "" || errors.Is(err, nil) || err.Retriable() || err.Error() == "" {
			t.Errorf("%q %v", err.Name(), err)
		}
	}
	if Retriable(nil) || Retriable(io.EOF) || !Retriable(fmt.Errorf("of mine: %w", &Error{Kind: ErrStoreUnavailable})) {
		t.Error("Retriable")
	}
	retriable := map[error]bool{ErrStoreUnavailable: true, ErrReadInterrupted: true, ErrProxyUnavailable: true}
	for _, kind := range []error{
		ErrInvalidEnvelope, ErrUnsupportedEnvelope, ErrNotAllowed, ErrTooLarge, ErrBlobMissing, ErrTruncated, ErrChecksumMismatch,
		ErrStoreRefused, ErrStoreUnavailable, ErrReadInterrupted, ErrProxyUnavailable, ErrOutcomeUnknown,
	} {
		if Retriable(&Error{Kind: kind}) != retriable[kind] {
			t.Errorf("%v", kind)
		}
	}
}
