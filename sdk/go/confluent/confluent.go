// Package lfsconfluent marks and resolves messages of confluent-kafka-go, which needs cgo.
package lfsconfluent

import (
	"context"
	"io"
	"slices"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// Mark asks the proxy to offload the message, whose value is set already. Headers of the same names are replaced.
func Mark(message *kafka.Message, options lfs.MarkOptions) {
	for _, header := range lfs.Headers(message.Value, options) {
		message.Headers = slices.DeleteFunc(message.Headers, func(h kafka.Header) bool { return h.Key == header.Key })
		message.Headers = append(message.Headers, kafka.Header{Key: header.Key, Value: header.Value})
	}
}

// Resolve replaces the message's value by the blob behind it; an ordinary value stays. With an error the
// message is as it was. See [lfs.Client.Fetch].
func Resolve(ctx context.Context, client *lfs.Client, message *kafka.Message) (lfs.Info, error) {
	value, info, err := client.Fetch(ctx, message.Value)
	if err == nil {
		message.Value = value
	}
	return info, err
}

// Open gives the blob behind the message as a stream. See [lfs.Client.Resolve].
func Open(ctx context.Context, client *lfs.Client, message *kafka.Message) (io.ReadCloser, lfs.Info, error) {
	return client.Resolve(ctx, message.Value)
}
