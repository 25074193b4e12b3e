package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	log.Fatal(consume(context.Background()))
}

func consume(ctx context.Context) error {
	client, err := lfs.FromEnvironment(ctx) // LFS_S3_BUCKET, ..., and the usual AWS credentials
	if err != nil {
		return err
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers("localhost:19092"), kgo.ConsumeTopics("demo-topic"))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			payload, info, err := client.Fetch(ctx, record.Value) // the blob's bytes; an ordinary value as it is
			if errors.Is(err, lfs.ErrBlobMissing) {
				fmt.Println(record.Offset, "its blob is missing") // one lost blob does not stop the consumer
				continue
			}
			if err != nil {
				return err
			}
			fmt.Println(record.Offset, len(payload), "bytes, offloaded:", info.Envelope != nil)
		}
	}
}
