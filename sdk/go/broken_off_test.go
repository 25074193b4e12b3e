package lfs

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		client := store.client(t, func(c *Config) { c.OnResolve = func(r Resolution) { told = append(told, r) } })
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		stream, _, err := client.Resolve(ctx, value)
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
		if !strings.HasPrefix(blob, received.String()) || len(told) != 1 || told[0].Result != ResultClosed {
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

func TestHookThatPanicsIsNoEnd(t *testing.T) {
	for name, read := range map[string]func(io.Reader) ([]byte, error){
		"ReadAll":  io.ReadAll,
		"one byte": func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
	} {
		store := newFakeStore(t)
		panics := errors.New("the hook is broken")
		told := 0
		client := store.client(t, func(c *Config) { c.OnResolve = func(Resolution) { told++; panic(panics) } })
		stream, _, err := client.Resolve(t.Context(), store.put(key, blob))
		if err != nil {
			t.Fatal(err)
		}
		if with := broken(func() { read(stream) }); with != panics { //nolint:errcheck // it panics
			t.Errorf("%s panics with %v", name, with)
		}
		for range 2 {
			if data, err := read(stream); !errors.Is(err, ErrReadInterrupted) || len(data) > 0 {
				t.Errorf("%s goes on with %d bytes, %v", name, len(data), err)
			}
		}
		if err := stream.Close(); err != nil || told != 1 {
			t.Errorf("closes with %v, told %d times", err, told)
		}
		if _, err := stream.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("a closed blob reads as %v", err)
		}
	}
}

func TestHookThatPanicsOnCloseLeavesNothingOpen(t *testing.T) {
	store := newFakeStore(t)
	client := store.client(t, func(c *Config) { c.OnResolve = func(Resolution) { panic("the hook is broken") } })
	stream, _, err := client.Resolve(t.Context(), store.put(key, blob))
	if err != nil {
		t.Fatal(err)
	}
	if broken(func() { stream.Close() }) == nil {
		t.Error("the panic is hidden")
	}
	if _, err := stream.Read(make([]byte, 1)); err == nil || err == io.EOF || store.tries() != 1 {
		t.Errorf("reads on with %v after %d requests", err, store.tries())
	}
}
