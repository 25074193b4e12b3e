package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func readByFranz(ctx context.Context, asked job, out *printer) {
	places := map[string]map[int32]kgo.Offset{}
	for _, each := range asked.Parts {
		if places[each.Topic] == nil {
			places[each.Topic] = map[int32]kgo.Offset{}
		}
		places[each.Topic][each.Partition] = kgo.NewOffset().At(each.Start)
	}
	isolation := kgo.ReadUncommitted()
	if asked.Committed {
		isolation = kgo.ReadCommitted()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(asked.Bootstrap), kgo.ClientID(asked.ClientID), kgo.ConsumePartitions(places), kgo.Rack(asked.Rack),
		kgo.FetchIsolationLevel(isolation), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxBytes(asked.MaxBytes), kgo.FetchMaxPartitionBytes(min(asked.PartitionMaxBytes, asked.MaxBytes)),
		kgo.BrokerMaxReadBytes(1<<30))
	check(err)
	defer client.Close()
	for !out.done() {
		fetches := client.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			kind := r.Attrs.TimestampType()
			one := line{
				Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key,
				Timestamp: r.Timestamp.UnixMilli(), TimestampType: &kind,
			}
			for _, header := range r.Headers {
				one.Headers = append(one.Headers, []any{header.Key, header.Value})
			}
			out.print(one, r.Value)
		})
	}
}
