package main

import (
	"context"
	"fmt"
	"log"
	"time"

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
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers("localhost:19092"), kgo.ConsumeTopics("demo-topic"),
		kgo.ConsumerGroup("demo"), kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return err
	}
	defer consumer.CloseAllowingRebalance()
	for {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if err := handle(ctx, client, record); err != nil {
				return err // not marked: another consumer of the group gets this record
			}
			consumer.MarkCommitRecords(record)
		}
		consumer.AllowRebalance()
	}
}

// handle returns an error only where the same record may succeed later.
func handle(ctx context.Context, client *lfs.Client, record *kgo.Record) error {
	for {
		payload, _, err := fetch(ctx, client, record)
		switch {
		case err == nil:
			fmt.Println(record.Offset, len(payload), "bytes")
			return nil
		case ctx.Err() != nil:
			return err
		case !lfs.Retriable(err):
			fmt.Println(record.Offset, "is set aside") // write it to a dead letter topic, say: its envelope is small
			return nil
		}
		log.Println(err)
		time.Sleep(time.Second)
	}
}

func fetch(ctx context.Context, client *lfs.Client, record *kgo.Record) ([]byte, lfs.Info, error) {
	copied := *record // the record keeps its envelope
	info, err := lfsfranz.Resolve(ctx, client, &copied)
	return copied.Value, info, err
}
