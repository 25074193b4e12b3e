package main

import (
	"context"
	"fmt"
	"log"
	"os"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	lfsfranz "github.com/lfsproxy/lfsproxy/sdk/go/franz"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	log.Fatal(consume(context.Background()))
}

func consume(ctx context.Context) error {
	source, err := lfs.ProxySource("http://localhost:8080", os.Getenv("LFS_API_KEY"))
	if err != nil {
		return err
	}
	client, err := lfs.New(ctx, lfs.Config{Source: source}) // no bucket, no S3 credentials
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
			if _, err := lfsfranz.Resolve(ctx, client, record); err != nil {
				return err
			}
			fmt.Println(record.Offset, len(record.Value), "bytes")
		}
	}
}
