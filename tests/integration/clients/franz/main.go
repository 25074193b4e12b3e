// franz-go's producer and group consumer under the tests' command.
//
//	franz BOOTSTRAP TOPIC COUNT TRANSACTIONAL_ID < VALUE
//
// Sends COUNT records of the value on standard input with an LFS_BLOB header, each followed by a plain record,
// in a transaction where its id is not empty; then reads all back in a consumer group. Prints a line per record
// that was read: "offset key header-names".
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	log.SetFlags(0)
	bootstrap, topic, transaction := os.Args[1], os.Args[2], os.Args[4]
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	value, err := io.ReadAll(os.Stdin)
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	options := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.ProducerBatchMaxBytes(32 << 20)}
	if transaction != "" {
		options = append(options, kgo.TransactionalID(transaction))
	}
	producer, err := kgo.NewClient(options...)
	check(err)
	if transaction != "" {
		check(producer.BeginTransaction())
	}
	var records []*kgo.Record
	for i := 0; i < count; i++ {
		mark := []kgo.RecordHeader{{Key: "LFS_BLOB"}, {Key: "trace", Value: []byte("t")}}
		records = append(records,
			&kgo.Record{Topic: topic, Key: []byte("lfs"), Value: value, Headers: mark},
			&kgo.Record{Topic: topic, Key: []byte("plain"), Value: []byte("plain")})
	}
	check(producer.ProduceSync(ctx, records...).FirstErr())
	if transaction != "" {
		check(producer.EndTransaction(ctx, kgo.TryCommit))
	}
	producer.Close()

	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(topic), kgo.ConsumerGroup("franz-"+topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	check(err)
	for seen := 0; seen < 2*count; {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			var names []string
			for _, header := range r.Headers {
				names = append(names, header.Key)
			}
			fmt.Println(r.Offset, string(r.Key), strings.Join(names, ","))
			seen++
		})
	}
	check(consumer.CommitUncommittedOffsets(ctx))
	consumer.Close()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
