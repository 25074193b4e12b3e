// Package lfsfranz marks and resolves records of franz-go (github.com/twmb/franz-go).
package lfsfranz

import (
	"context"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// Mark asks the proxy to offload the record, whose value is set already. Headers of the same names are replaced.
func Mark(record *kgo.Record, options lfs.MarkOptions) {
	for _, header := range lfs.Headers(record.Value, options) {
		record.Headers = slices.DeleteFunc(record.Headers, func(h kgo.RecordHeader) bool { return h.Key == header.Key })
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
}

// Resolve replaces the record's value by the blob behind it; an ordinary value stays. With an error the record
// is as it was. See [lfs.Client.Fetch].
func Resolve(ctx context.Context, client *lfs.Client, record *kgo.Record) (lfs.Info, error) {
	value, info, err := client.Fetch(ctx, record.Value)
	if err == nil {
		record.Value = value
	}
	return info, err
}

// Open gives the blob behind the record as a stream. See [lfs.Client.Resolve].
func Open(ctx context.Context, client *lfs.Client, record *kgo.Record) (io.ReadCloser, lfs.Info, error) {
	return client.Resolve(ctx, record.Value)
}
