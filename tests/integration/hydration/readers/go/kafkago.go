package main

import (
	"context"
	"log"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

func readByKafkaGo(ctx context.Context, asked job, out *printer) {
	var running sync.WaitGroup
	for _, each := range asked.Parts {
		isolation := kafka.ReadUncommitted
		if asked.Committed {
			isolation = kafka.ReadCommitted
		}
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{asked.Bootstrap}, Topic: each.Topic, Partition: int(each.Partition),
			Dialer:         &kafka.Dialer{ClientID: asked.ClientID, Timeout: 10 * time.Second},
			IsolationLevel: isolation, MinBytes: 1, MaxBytes: int(asked.PartitionMaxBytes),
			// How long it waits for an answer to begin, too.
			MaxWait: 10 * time.Second, ReadBatchTimeout: time.Minute,
		})
		check(reader.SetOffset(each.Start))
		running.Add(1)
		go func(until int64) {
			defer running.Done()
			for {
				r, err := reader.ReadMessage(ctx)
				check(ctx.Err())
				if err != nil {
					// Each error is the application's, which asks again.
					log.Print(err)
					continue
				}
				one := line{
					Topic: r.Topic, Partition: int32(r.Partition), Offset: r.Offset, Key: r.Key,
					Timestamp: r.Time.UnixMilli(),
				}
				for _, header := range r.Headers {
					one.Headers = append(one.Headers, []any{header.Key, header.Value})
				}
				out.print(one, r.Value)
				if r.Offset >= until {
					check(reader.Close())
					return
				}
			}
		}(each.Until)
	}
	running.Wait()
}
