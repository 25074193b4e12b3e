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
	image := bytes.Repeat([]byte("large "), 1_000_000)
	producer, err := kgo.NewClient(
		kgo.SeedBrokers("localhost:19092"),
		kgo.ProducerBatchMaxBytes(16<<20), // franz-go's own limit is 1 MB
	)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()

	record := &kgo.Record{Topic: "demo-topic", Value: image}
	lfsfranz.Mark(record, lfs.MarkOptions{ContentType: "image/png", Verify: true})
	if err := producer.ProduceSync(context.Background(), record).FirstErr(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("published at %d:%d\n", record.Partition, record.Offset)
}
