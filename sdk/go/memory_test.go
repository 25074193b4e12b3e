package lfs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

var chunk = make([]byte, 256*1024)

// serveZeros is a store whose every blob is size zero bytes; it returns an envelope of one.
func serveZeros(t testing.TB, store *fakeStore, size int64) []byte {
	sum := sha256.New()
	for left := size; left > 0; left -= int64(len(chunk)) {
		sum.Write(chunk[:min(left, int64(len(chunk)))])
	}
	store.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for left := size; left > 0; left -= int64(len(chunk)) {
			if _, err := w.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
				return true
			}
		}
		return true
	}
	value, err := json.Marshal(map[string]any{
		"lfs_version": 1, "s3_bucket": bucket, "s3_key": key, "content_type": "a/b", "content_length": size,
		"checksum_algo": "sha256", "checksum": hex.EncodeToString(sum.Sum(nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestMemoryOfAStream: what is allocated for a blob, over all of its reading, is bounded, whatever its size.
// LFS_TEST_STREAM_MIB sets the size; then VmHWM of the process, store included, is logged as well.
func TestMemoryOfAStream(t *testing.T) {
	mib := int64(256)
	if text := os.Getenv("LFS_TEST_STREAM_MIB"); text != "" {
		var err error
		if mib, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	store := newFakeStore(t)
	client := store.client(t)
	value := serveZeros(t, store, mib<<20)
	idle := highWater(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stream, _, err := resolve(client, t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, stream); n != mib<<20 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
	t.Logf("%d MiB: %d KiB allocated in all, VmHWM %s before, %s after",
		mib, (after.TotalAlloc-before.TotalAlloc)>>10, idle, highWater(t))
}

func highWater(t *testing.T) string {
	if runtime.GOOS != "linux" {
		return "unknown"
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// BenchmarkStream reads a blob of 64 MiB from a store in the same process.
func BenchmarkStream(b *testing.B) {
	store := newFakeStore(b)
	client := store.client(b)
	value := serveZeros(b, store, 64<<20)
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		stream, _, err := resolve(client, b.Context(), value)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, stream); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPoll reads 32 blobs of 64 KiB from a store that takes 20 ms for an answer: one after the other, and
// in parallel.
func BenchmarkPoll(b *testing.B) {
	store := newFakeStore(b)
	var records []message
	for i := range 32 {
		value := store.put(fmt.Sprintf("lfs/%d", i), strings.Repeat("x", 64<<10))
		records = append(records, message{value, int64(i)})
	}
	store.before = func(int, http.ResponseWriter, *http.Request) bool { time.Sleep(20 * time.Millisecond); return false }
	client := store.client(b)
	b.Run("Fetch", func(b *testing.B) {
		for b.Loop() {
			for _, record := range records {
				if _, _, err := client.Fetch(b.Context(), record.value); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("ResolveAll", func(b *testing.B) {
		for b.Loop() {
			for _, err := range ResolveAll(b.Context(), client, records, readMessage, Prefetch{}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
