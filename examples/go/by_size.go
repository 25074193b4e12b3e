package main

import (
	"bytes"
	"context"
	"fmt"
	"log"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	lfsfranz "github.com/lfsproxy/lfsproxy/sdk/go/franz"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	producer, err := kgo.NewClient(
		kgo.SeedBrokers("localhost:19092"),
		kgo.DefaultProduceTopic("demo-topic"),
		kgo.ProducerBatchMaxBytes(16<<20), // franz-go's own limit is 1 MB
		kgo.WithHooks(lfsfranz.MarkBySize(lfs.DefaultMarkMinSize, lfs.MarkOptions{Verify: true})),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()
	for _, value := range [][]byte{[]byte("ordinary"), bytes.Repeat([]byte("large "), 1_000_000)} {
		record := &kgo.Record{Value: value}
		if err := producer.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("published at %d:%d\n", record.Partition, record.Offset)
	}
}
