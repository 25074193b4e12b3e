package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	lfsfranz "github.com/lfsproxy/lfsproxy/sdk/go/franz"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	log.Fatal(consume(context.Background()))
}

func consume(ctx context.Context) error {
	client, err := lfs.FromEnvironment(ctx)
	if err != nil {
		return err
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers("localhost:19092"), kgo.ConsumeTopics("demo-topic"))
	if err != nil {
		return err
	}
	defer consumer.Close()
	bounds := lfs.Prefetch{Concurrency: 8, MaxBytes: 256 << 20} // at most 8 fetches and 256 MiB at a time
	for {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for got, err := range lfsfranz.ResolveAll(ctx, client, fetches.Records(), bounds) {
			if errors.Is(err, lfs.ErrBlobMissing) {
				fmt.Println(got.Record.Offset, "its blob is missing")
				continue
			}
			if err != nil {
				return err // the fetches that are under way end
			}
			fmt.Println(got.Record.Offset, len(got.Value), "bytes, offloaded:", got.Envelope != nil)
		}
	}
}
