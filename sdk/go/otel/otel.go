// Package lfsotel counts and times the reads of an [lfs.Client] for OpenTelemetry.
//
//	lfs.client.reads            {topic,result}  reads that have ended; result is ok, closed, cancelled, timeout, or an error's name
//	lfs.client.read.bytes       {topic}         bytes received (By)
//	lfs.client.read.duration                    from the start of a read to its end (s)
//
// topic is empty where the caller has not said where the record is (lfs.WithRecord).
package lfsotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// buckets are in seconds: from a small blob of a store nearby to the download of many gigabytes.
var buckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// OnResolve makes the instruments by a meter, and gives the function for OnResolve of lfs.Config that fills them. The
// context of the read goes along, so that exemplars have its span. Clients may share the function.
func OnResolve(meter metric.Meter) (func(context.Context, lfs.Resolution), error) {
	reads, failedReads := meter.Int64Counter("lfs.client.reads",
		metric.WithDescription("Reads of blobs that have ended, by topic and result."), metric.WithUnit("{read}"))
	received, failedBytes := meter.Int64Counter("lfs.client.read.bytes",
		metric.WithDescription("Bytes of blobs that were received, by topic."), metric.WithUnit("By"))
	duration, failedDuration := meter.Float64Histogram("lfs.client.read.duration",
		metric.WithDescription("Time from the start of a read to its end."), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(buckets...))
	if err := errors.Join(failedReads, failedBytes, failedDuration); err != nil {
		return nil, err
	}
	return func(ctx context.Context, resolution lfs.Resolution) {
		topic := attribute.String("topic", "")
		if resolution.Record != nil {
			topic = attribute.String("topic", resolution.Record.Topic)
		}
		reads.Add(ctx, 1, metric.WithAttributes(topic, attribute.String("result", resolution.Result)))
		received.Add(ctx, resolution.Size, metric.WithAttributes(topic))
		duration.Record(ctx, resolution.Duration.Seconds())
	}, nil
}
