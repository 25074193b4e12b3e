package lfsprometheus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

func TestOnResolve(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	hook, err := OnResolve(registry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lfs.New(t.Context(), lfs.Config{Bucket: "kafscale", OnResolve: hook}); err != nil {
		t.Fatal(err)
	}
	at := &lfs.Coordinates{Topic: "demo"}
	for range 2 {
		hook(t.Context(), lfs.Resolution{Result: lfs.ResultOK, Size: 1000, Duration: 20 * time.Millisecond, Record: at})
	}
	hook(t.Context(), lfs.Resolution{Result: "blob-missing", Duration: 200 * time.Second})
	var want strings.Builder
	want.WriteString(`# HELP lfs_client_read_bytes_total Bytes of blobs that were received, by topic.
# TYPE lfs_client_read_bytes_total counter
lfs_client_read_bytes_total{topic=""} 0
lfs_client_read_bytes_total{topic="demo"} 2000
# HELP lfs_client_read_seconds Time from the start of a read to its end.
# TYPE lfs_client_read_seconds histogram
`)
	for _, bound := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "120", "300", "+Inf"} {
		count := 2
		switch bound {
		case "0.005", "0.01":
			count = 0
		case "300", "+Inf":
			count = 3
		}
		fmt.Fprintf(&want, "lfs_client_read_seconds_bucket{le=\"%s\"} %d\n", bound, count)
	}
	want.WriteString(`lfs_client_read_seconds_sum 200.04
lfs_client_read_seconds_count 3
# HELP lfs_client_reads_total Reads of blobs that have ended, by topic and result.
# TYPE lfs_client_reads_total counter
lfs_client_reads_total{result="blob-missing",topic=""} 1
lfs_client_reads_total{result="ok",topic="demo"} 2
`)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want.String())); err != nil {
		t.Error(err)
	}
	if _, err := OnResolve(registry); err == nil {
		t.Error("registered twice")
	}
}
