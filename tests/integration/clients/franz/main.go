// franz-go's producer and group consumer under the tests' command.
//
//	franz group BOOTSTRAP TOPIC COUNT
//
// Reads COUNT records of the topic in a consumer group. Prints a line per record: "offset key header-names".
//
//	franz produce < JOB
//
// Sends the job's records without waiting for each other, in a transaction where its id is not empty: committed, or
// aborted where a record failed. Prints a result per record: {"results": [{"offset": 3} or {"offset": -1, "error":
// "INVALID_RECORD", "message": ".."}]}.
//
//	franz share < COMMANDS
//
// Share consumers: share.go.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type job struct {
	Bootstrap       string
	Topic           string
	Codec           string
	Acks            string
	Idempotent      bool
	TransactionalID string `json:"transactional_id"`
	BatchBytes      int32  `json:"batch_bytes"`
	Records         []record
}

// Bytes are base64 in JSON; null is nil.
type record struct {
	Partition int32
	Key       []byte
	Value     []byte
	Headers   []header
}

type header struct {
	Name  string
	Value []byte
}

type result struct {
	Offset  int64  `json:"offset"`
	Error   string `json:"error"`
	Message string `json:"message"`
}

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 80*time.Second)
	defer cancel()
	switch os.Args[1] {
	case "group":
		count, err := strconv.Atoi(os.Args[4])
		check(err)
		readInGroup(ctx, os.Args[2], os.Args[3], count)
	case "produce":
		var asked job
		check(json.NewDecoder(os.Stdin).Decode(&asked))
		check(json.NewEncoder(os.Stdout).Encode(map[string][]result{"results": produce(ctx, asked)}))
	case "share":
		share()
	default:
		log.Fatalf("there is no %q", os.Args[1])
	}
}

func produce(ctx context.Context, asked job) []result {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	options := []kgo.Opt{
		kgo.SeedBrokers(asked.Bootstrap),
		kgo.ProducerBatchCompression(codecs[asked.Codec]),
		kgo.RequiredAcks(acks[asked.Acks]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(asked.BatchBytes),
		kgo.RecordDeliveryTimeout(70 * time.Second),
	}
	if asked.TransactionalID != "" {
		options = append(options, kgo.TransactionalID(asked.TransactionalID))
	} else if !asked.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	check(err)
	defer client.Close()
	if asked.TransactionalID != "" {
		check(client.BeginTransaction())
	}
	results := make([]result, len(asked.Records))
	for number, each := range asked.Records {
		made := &kgo.Record{Topic: asked.Topic, Partition: each.Partition, Key: each.Key, Value: each.Value}
		for _, one := range each.Headers {
			made.Headers = append(made.Headers, kgo.RecordHeader{Key: one.Name, Value: one.Value})
		}
		client.Produce(ctx, made, func(sent *kgo.Record, err error) { results[number] = toResult(sent, err) })
	}
	check(client.Flush(ctx))
	if asked.TransactionalID != "" {
		commit := kgo.TryCommit
		for _, each := range results {
			if each.Error != "" {
				commit = kgo.TryAbort
			}
		}
		check(client.EndTransaction(ctx, commit))
	}
	return results
}

func toResult(sent *kgo.Record, err error) result {
	if err == nil {
		return result{Offset: sent.Offset}
	}
	return result{Offset: -1, Error: nameOf(err), Message: err.Error()}
}

func readInGroup(ctx context.Context, bootstrap, topic string, count int) {
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(topic), kgo.ConsumerGroup("franz-"+topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	check(err)
	for seen := 0; seen < count; {
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
