package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
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
			name := fmt.Sprintf("blob-%d", record.Offset)
			if err := save(ctx, client, record.Value, name); err != nil {
				return err
			}
			fmt.Println("wrote", name)
		}
	}
}

// save writes the blob behind a value to a file. The memory that it needs does not grow with the blob.
func save(ctx context.Context, client *lfs.Client, value []byte, name string) error {
	blob, err := client.Open(ctx, value)
	if err != nil {
		return err
	}
	defer blob.Close()
	if blob.Stream == nil {
		return nil // a tombstone
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, blob.Stream); err != nil {
		return err // the blob is not whole, or its checksum is wrong: do not use the file
	}
	return file.Close()
}
