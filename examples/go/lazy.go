package main

import (
	"context"
	"fmt"
	"io"
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
	client, err := lfs.FromEnvironment(ctx)
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
			envelope, err := lfs.ParseEnvelope(record.Value) // nothing is fetched
			if err != nil {
				return err
			}
			if envelope == nil || envelope.ContentType != "image/png" {
				fmt.Println(record.Offset, "is not wanted")
				continue
			}
			size, err := save(ctx, client, record)
			if err != nil {
				return err
			}
			fmt.Println(record.Offset, "saved", size, "bytes")
		}
	}
}

func save(ctx context.Context, client *lfs.Client, record *kgo.Record) (int64, error) {
	blob, err := lfsfranz.Open(ctx, client, record)
	if err != nil {
		return 0, err
	}
	defer blob.Close()
	file, err := os.CreateTemp("", "image-*.png")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return io.Copy(file, blob.Stream)
}
