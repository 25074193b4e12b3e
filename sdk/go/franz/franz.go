// Package lfsfranz marks and resolves records of franz-go (github.com/twmb/franz-go).
package lfsfranz

import (
	"context"
	"iter"

	"github.com/twmb/franz-go/pkg/kgo"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// Mark asks the proxy to offload the record, whose value is set already. Headers of the same names are replaced.
func Mark(record *kgo.Record, options lfs.MarkOptions) {
	record.Headers = lfs.AddHeaders(record.Headers, lfs.Headers(record.Value, options))
}

// MarkBySize is a hook for producers ([kgo.WithHooks]): each record whose value has at least minSize bytes is
// marked as by [Mark] (lfs.DefaultMarkMinSize fits Kafka's own limit; 0: any value but nil). A record that is
// marked already stays as it is.
func MarkBySize(minSize int, options lfs.MarkOptions) kgo.Hook {
	return markBySize{minSize, options}
}

type markBySize struct {
	minSize int
	options lfs.MarkOptions
}

var _ kgo.HookProduceRecordBuffered = markBySize{}

// OnProduceRecordBuffered is called before franz-go looks at the record's size.
func (m markBySize) OnProduceRecordBuffered(record *kgo.Record) {
	if !lfs.IsMarked(record.Headers) {
		record.Headers = lfs.AddHeaders(record.Headers, lfs.HeadersBySize(record.Value, m.minSize, m.options))
	}
}

// Resolve replaces the record's value by the blob behind it; an ordinary value stays. With an error the record
// is as it was. See [lfs.Client.Fetch].
func Resolve(ctx context.Context, client *lfs.Client, record *kgo.Record, options ...lfs.ReadOption) (lfs.Info, error) {
	value, info, err := client.Fetch(ctx, record.Value, at(record, options)...)
	if err == nil {
		record.Value = value
	}
	return info, err
}

// Open gives the blob behind the record as a stream. See [lfs.Client.Open].
func Open(ctx context.Context, client *lfs.Client, record *kgo.Record, options ...lfs.ReadOption) (*lfs.Blob, error) {
	return client.Open(ctx, record.Value, at(record, options)...)
}

// ResolveAll fetches the blobs behind the records of one poll (Fetches.Records) in parallel, and hands the records
// over in their order. They stay as they are: the blob is the Value beside each. See [lfs.ResolveAll].
func ResolveAll(
	ctx context.Context, client *lfs.Client, records []*kgo.Record, bounds lfs.Prefetch,
) iter.Seq2[lfs.Resolved[*kgo.Record], error] {
	return lfs.ResolveAll(ctx, client, records, read, bounds)
}

func read(record *kgo.Record) ([]byte, lfs.Coordinates) {
	return record.Value, lfs.Coordinates{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset}
}

func at(record *kgo.Record, options []lfs.ReadOption) []lfs.ReadOption {
	_, coordinates := read(record)
	return append([]lfs.ReadOption{lfs.WithRecord(coordinates)}, options...)
}
