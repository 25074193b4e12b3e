package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// TestContextInTheMiddleIsNoEnd ends the context at any byte, and reads on: with what is in hand already, and
// again after the error.
func TestContextInTheMiddleIsNoEnd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		store := newFakeStore(t)
		value := store.put(key, blob)
		at := random.IntN(len(blob))
		store.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
			io.WriteString(w, blob[:at]) //nolint:errcheck // is looked at by the reader
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}
		var told []Resolution
		client := store.client(t, func(c *Config) { c.OnResolve = func(_ context.Context, r Resolution) { told = append(told, r) } })
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		stream, _, err := resolve(client, ctx, value)
		if err != nil {
			t.Fatal(err)
		}
		var received strings.Builder
		ends := random.IntN(at + 1)
		for again := 0; again < 3; {
			if received.Len() >= ends {
				cancel()
			}
			into := make([]byte, 1+random.IntN(100_000))
			n, err := stream.Read(into)
			received.Write(into[:n])
			if err == nil {
				continue
			}
			again++
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("after %d of %d bytes: %v", received.Len(), len(blob), err)
			}
		}
		if !strings.HasPrefix(blob, received.String()) || len(told) != 1 || told[0].Result != ResultCancelled {
			t.Fatalf("%d bytes, told %+v", received.Len(), told)
		}
		stream.Close()
	}
}

// broken runs call and returns what it panicked with.
func broken(call func()) (with any) {
	defer func() { with = recover() }()
	call()
	return nil
}

func TestProgressThatPanicsIsNoEnd(t *testing.T) {
	for name, read := range map[string]func(io.Reader) ([]byte, error){
		"ReadAll":  io.ReadAll,
		"one byte": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
	} {
		for _, when := range []int64{1, int64(len(blob))} {
			store := newFakeStore(t)
			panics := errors.New("the function is broken")
			var told []Resolution
			client := store.client(t, func(c *Config) {
				c.OnResolve = func(_ context.Context, r Resolution) { told = append(told, r) }
			})
			opened, err := client.Open(t.Context(), store.put(key, blob), WithProgress(func(size int64) {
				if size >= when {
					panic(panics)
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			if with := broken(func() { read(opened.Stream) }); with != panics { //nolint:errcheck // it panics
				t.Errorf("%s panics with %v", name, with)
			}
			for range 2 {
				data, err := read(opened.Stream)
				if !errors.Is(err, ErrReadInterrupted) || len(data) > 0 || !Retriable(err) {
					t.Errorf("%s goes on with %d bytes, %v", name, len(data), err)
				}
			}
			if err := opened.Close(); err != nil || len(told) != 1 || told[0].Result != "read-interrupted" {
				t.Errorf("closes with %v, told %+v", err, told)
			}
			if _, err := opened.Stream.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("a closed blob reads as %v", err)
			}
		}
	}
}

// TestHookThatPanicsIsLogged: at the end, when closed, and where nothing could be opened.
func TestHookThatPanicsIsLogged(t *testing.T) {
	var log strings.Builder
	usual := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(usual) })
	store := newFakeStore(t)
	client := store.client(t, func(c *Config) {
		c.OnResolve = func(context.Context, Resolution) { panic("the hook is broken") }
	})
	value := store.put(key, blob)
	if data, _, err := client.Fetch(t.Context(), value); string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	opened, err := client.Open(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if _, err := opened.Stream.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a closed blob reads as %v", err)
	}
	_, _, err = client.Fetch(t.Context(), envelopeOf("lfs/none", "x"))
	wantKind(t, err, ErrBlobMissing)
	if strings.Count(log.String(), "the hook is broken") != 3 {
		t.Errorf("logged %s", log.String())
	}
}

// deaf gives a blob from memory, and looks at no context.
type deaf struct{ blob string }

func (s deaf) Get(context.Context, GetRequest) (GetResponse, error) {
	return GetResponse{io.NopCloser(strings.NewReader(s.blob)), int64(len(s.blob)), ""}, nil
}

// TestContextEndsAReadOfAnySource, also where the source goes on.
func TestContextEndsAReadOfAnySource(t *testing.T) {
	client := clientOf(t, Config{Bucket: bucket, Source: deaf{blob}})
	ctx, cancel := context.WithCancel(t.Context())
	stream, _, err := resolve(client, ctx, envelopeOf(key, blob))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close() //nolint:errcheck // is nil always
	if _, err := stream.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 2 {
		if rest, err := io.ReadAll(stream); len(rest) > 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
	}
}
