// Package lfsprometheus counts and times the reads of an [lfs.Client] for Prometheus.
//
//	lfs_client_reads_total{topic,result}    reads that have ended; result is ok, closed, cancelled, timeout, or an error's name
//	lfs_client_read_bytes_total{topic}      bytes received
//	lfs_client_read_seconds                 from the start of a read to its end
//
// topic is empty where the caller has not said where the record is (lfs.WithRecord).
package lfsprometheus

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// buckets are in seconds: from a small blob of a store nearby to the download of many gigabytes.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// OnResolve registers the metrics, and gives the function for OnResolve of lfs.Config that fills them. The error
// is that of the registerer: a second call with the same one fails, so share the function between clients.
func OnResolve(registerer prometheus.Registerer) (func(context.Context, lfs.Resolution), error) {
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lfs_client_reads_total", Help: "Reads of blobs that have ended, by topic and result.",
	}, []string{"topic", "result"})
	received := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lfs_client_read_bytes_total", Help: "Bytes of blobs that were received, by topic.",
	}, []string{"topic"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lfs_client_read_seconds", Help: "Time from the start of a read to its end.", Buckets: buckets,
	})
	for _, collector := range []prometheus.Collector{reads, received, seconds} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return func(_ context.Context, resolution lfs.Resolution) {
		topic := ""
		if resolution.Record != nil {
			topic = resolution.Record.Topic
		}
		reads.WithLabelValues(topic, resolution.Result).Inc()
		received.WithLabelValues(topic).Add(float64(resolution.Size))
		seconds.Observe(resolution.Duration.Seconds())
	}, nil
}
