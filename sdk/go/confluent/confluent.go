// Package lfsconfluent marks and resolves messages of confluent-kafka-go, which needs cgo.
package lfsconfluent

import (
	"context"
	"iter"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// Mark asks the proxy to offload the message, whose value is set already. Headers of the same names are replaced.
func Mark(message *kafka.Message, options lfs.MarkOptions) {
	message.Headers = lfs.AddHeaders(message.Headers, lfs.Headers(message.Value, options))
}

// MarkBySize is [Mark] for a message whose value has at least minSize bytes (lfs.DefaultMarkMinSize fits Kafka's
// own limit; 0: any value but nil). Call it before each Produce. A message that is marked already stays as it is.
func MarkBySize(message *kafka.Message, minSize int, options lfs.MarkOptions) {
	if !lfs.IsMarked(message.Headers) {
		message.Headers = lfs.AddHeaders(message.Headers, lfs.HeadersBySize(message.Value, minSize, options))
	}
}

// Resolve replaces the message's value by the blob behind it; an ordinary value stays. With an error the
// message is as it was. See [lfs.Client.Fetch].
func Resolve(ctx context.Context, client *lfs.Client, message *kafka.Message, options ...lfs.ReadOption) (lfs.Info, error) {
	value, info, err := client.Fetch(ctx, message.Value, at(message, options)...)
	if err == nil {
		message.Value = value
	}
	return info, err
}

// Open gives the blob behind the message as a stream. See [lfs.Client.Open].
func Open(ctx context.Context, client *lfs.Client, message *kafka.Message, options ...lfs.ReadOption) (*lfs.Blob, error) {
	return client.Open(ctx, message.Value, at(message, options)...)
}

// ResolveAll fetches the blobs behind messages in parallel, and hands the messages over in their order. They
// stay as they are: the blob is the Value beside each. See [lfs.ResolveAll].
func ResolveAll(
	ctx context.Context, client *lfs.Client, messages []*kafka.Message, bounds lfs.Prefetch,
) iter.Seq2[lfs.Resolved[*kafka.Message], error] {
	return lfs.ResolveAll(ctx, client, messages, read, bounds)
}

func read(message *kafka.Message) ([]byte, lfs.Coordinates) {
	place := message.TopicPartition
	topic := ""
	if place.Topic != nil {
		topic = *place.Topic
	}
	return message.Value, lfs.Coordinates{Topic: topic, Partition: place.Partition, Offset: int64(place.Offset)}
}

func at(message *kafka.Message, options []lfs.ReadOption) []lfs.ReadOption {
	_, coordinates := read(message)
	return append([]lfs.ReadOption{lfs.WithRecord(coordinates)}, options...)
}
