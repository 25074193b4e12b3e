// The tests need testing/synctest.
//go:build go1.25

package lfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gauge is a Source that keeps the blobs in memory and measures what is fetched at a time.
type gauge struct {
	took func(key string) time.Duration

	mu       sync.Mutex
	blobs    map[string]string
	running  int
	held     int64
	most     int
	mostHeld int64
	begun    []string
}

func (g *gauge) Get(ctx context.Context, request GetRequest) (GetResponse, error) {
	g.mu.Lock()
	blob, found := g.blobs[request.Envelope.Key]
	g.running++
	g.held += int64(len(blob))
	g.most, g.mostHeld = max(g.most, g.running), max(g.mostHeld, g.held)
	g.begun = append(g.begun, request.Envelope.Key)
	g.mu.Unlock()
	err := sleep(ctx, g.took(request.Envelope.Key))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	if err != nil {
		return GetResponse{}, err
	}
	if !found {
		return GetResponse{}, fmt.Errorf("not here: %w", ErrBlobMissing)
	}
	return GetResponse{io.NopCloser(strings.NewReader(blob)), int64(len(blob)), ""}, nil
}

func (g *gauge) release(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held -= int64(size)
}

func (g *gauge) client(t *testing.T, options ...Option) *Client {
	config := Config{Bucket: bucket, Source: g}
	for _, option := range options {
		option(&config)
	}
	client, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestResolveAllIsFetchInOrder holds polls of many kinds to what Fetch gives, and to their bounds.
func TestResolveAllIsFetchInOrder(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			g := &gauge{blobs: map[string]string{}, took: func(key string) time.Duration {
				return time.Duration(len(key)*len(key)%7) * time.Second
			}}
			var records []message
			largest := 0
			for i := range random.IntN(30) {
				key := fmt.Sprintf("lfs/%s%d", strings.Repeat("x", random.IntN(9)), i)
				blob := strings.Repeat("b", random.IntN(100))
				value := envelopeOf(key, blob)
				switch random.IntN(8) {
				case 0:
					value = []byte("ordinary")
				case 1:
					value = nil
				case 2: // missing
				case 3:
					value = envelopeOf("elsewhere", blob)
				case 4:
					value = []byte(`{"lfs_version":2,"s3_bucket":"b","s3_key":"k"}`)
				case 5:
					g.blobs[key] = blob + "wrong"
					largest = max(largest, len(blob)+5)
				default:
					g.blobs[key] = blob
					largest = max(largest, len(blob))
				}
				records = append(records, message{value, int64(i)})
			}
			bounds := Prefetch{1 + random.IntN(5), int64(1 + random.IntN(200))}
			client := g.client(t)
			i := 0
			for got, err := range ResolveAll(t.Context(), client, records, readMessage, bounds) {
				g.release(len(got.Value))
				time.Sleep(time.Duration(random.IntN(2)) * time.Second)
				value, info, wanted := client.Fetch(t.Context(), records[i].value)
				if got.Record.offset != int64(i) || !bytes.Equal(got.Value, value) || (got.Value == nil) != (value == nil) ||
					(got.Envelope == nil) != (info.Envelope == nil) || fmt.Sprint(err) != fmt.Sprint(wanted) {
					t.Errorf("seed %d, record %d: %q, %v; want %q, %v", seed, i, got.Value, err, value, wanted)
				}
				i++
			}
			if i != len(records) {
				t.Errorf("seed %d: %d of %d records", seed, i, len(records))
			}
		})
	}
}

func TestBoundsOfResolveAll(t *testing.T) {
	records := func(g *gauge, sizes ...int) (all []message) {
		for i, size := range sizes {
			key := fmt.Sprintf("lfs/%d", i)
			g.blobs[key] = strings.Repeat("b", size)
			all = append(all, message{envelopeOf(key, g.blobs[key]), int64(i)})
		}
		return all
	}
	for _, test := range []struct {
		bounds   Prefetch
		sizes    []int
		most     int
		mostHeld int64
	}{
		{Prefetch{}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, DefaultConcurrency, 12},
		{Prefetch{Concurrency: 3}, []int{1, 1, 1, 1, 1, 1}, 3, 6},
		{Prefetch{Concurrency: -1, MaxBytes: Unlimited}, []int{100, 100, 100}, 3, 300},
		{Prefetch{MaxBytes: 100}, []int{50, 50, 50, 50, 50}, 2, 100},
		{Prefetch{MaxBytes: 100}, []int{60, 60, 60}, 1, 60},
		{Prefetch{MaxBytes: 100}, []int{10, 500, 10, 10, 10}, 3, 500}, // the large one goes alone
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &gauge{blobs: map[string]string{}, took: func(string) time.Duration { return time.Second }}
			all := records(g, test.sizes...)
			for got, err := range ResolveAll(t.Context(), g.client(t), all, readMessage, test.bounds) {
				if err != nil {
					t.Error(err)
				}
				g.release(len(got.Value))
			}
			// A hand-over begins the next fetch a moment before this test counts the record as released.
			slack := int64(test.sizes[0])
			if g.most != test.most || g.mostHeld > test.mostHeld+slack {
				t.Errorf("%+v of %v: %d at a time, %d bytes", test.bounds, test.sizes, g.most, g.mostHeld)
			}
		})
	}
}

// TestFetchesGoOnWhileTheCallerWorks: not the loop alone begins the next ones.
func TestFetchesGoOnWhileTheCallerWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{blobs: map[string]string{}, took: func(string) time.Duration { return time.Second }}
		var records []message
		for i := range 6 {
			key := fmt.Sprintf("lfs/%d", i)
			g.blobs[key] = "blob"
			records = append(records, message{envelopeOf(key, "blob"), int64(i)})
		}
		began := time.Now()
		for _, err := range ResolveAll(t.Context(), g.client(t), records, readMessage, Prefetch{Concurrency: 1}) {
			if err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestNothingRunsOnAfterTheLoop: break, panic and the context's end leave no goroutine (synctest insists on it).
func TestNothingRunsOnAfterTheLoop(t *testing.T) {
	for name, leave := range map[string]func(cancel func()) bool{
		"break": func(func()) bool { return true },
		"panic": func(func()) bool { panic("the caller's") },
		"end":   func(cancel func()) bool { cancel(); return false },
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &gauge{blobs: map[string]string{}, took: func(key string) time.Duration {
				if key == "lfs/0" {
					return time.Second
				}
				return 1000 * time.Hour
			}}
			var results []string
			client := g.client(t, func(c *Config) {
				c.Tries = 1
				c.OnResolve = func(_ context.Context, r Resolution) {
					g.mu.Lock()
					defer g.mu.Unlock()
					results = append(results, r.Result)
				}
			})
			var records []message
			for i := range 5 {
				key := fmt.Sprintf("lfs/%d", i)
				g.blobs[key] = "blob"
				records = append(records, message{envelopeOf(key, "blob"), int64(i)})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			seen, cancelled := 0, 0
			broken(func() {
				for _, err := range ResolveAll(ctx, client, records, readMessage, Prefetch{Concurrency: 3}) {
					seen++
					if errors.Is(err, context.Canceled) {
						cancelled++
					}
					if seen == 1 && leave(cancel) {
						break
					}
				}
			})
			if g.running != 0 {
				t.Errorf("%s: %d fetches run on", name, g.running)
			}
			if all := name == "end"; all != (seen == 5) || all != (cancelled == 4) {
				t.Errorf("%s: %d records, %d cancelled", name, seen, cancelled)
			}
			if fmt.Sprint(results[:3]) != "[ok cancelled cancelled]" && name != "end" {
				t.Errorf("%s: told %v", name, results)
			}
		})
	}
}

// TestResolveAllLeavesNoConnectionOpen does with a real store what synctest cannot.
func TestResolveAllLeavesNoConnectionOpen(t *testing.T) {
	store := newFakeStore(t)
	client := store.client(t)
	var records []message
	for i := range 20 {
		records = append(records, message{store.put(fmt.Sprintf("lfs/%d", i), blob), int64(i)})
	}
	before := runtime.NumGoroutine()
	for range 5 {
		for _, err := range ResolveAll(t.Context(), client, records, readMessage, Prefetch{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	for tries := 0; runtime.NumGoroutine() > before && tries < 500; tries++ {
		// Each time: a connection that was being made when its fetch was cancelled is kept for the next one.
		store.CloseClientConnections()
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// TestHookThatEndsItsGoroutine is what t.FailNow does in a hook: the record fails, and nobody waits for ever.
func TestHookThatEndsItsGoroutine(t *testing.T) {
	g := &gauge{blobs: map[string]string{"lfs/0": "blob"}, took: func(string) time.Duration { return 0 }}
	client := g.client(t, func(c *Config) { c.OnResolve = func(context.Context, Resolution) { runtime.Goexit() } })
	records := []message{{envelopeOf("lfs/0", "blob"), 0}}
	for got, err := range ResolveAll(t.Context(), client, records, readMessage, Prefetch{}) {
		if !errors.Is(err, ErrReadInterrupted) || got.Value != nil {
			t.Errorf("%q, %v", got.Value, err)
		}
	}
}
