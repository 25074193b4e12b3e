package main

import (
	"context"
	"log"
	"math"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

func readBySarama(ctx context.Context, asked job, out *printer) {
	// The limit of its requests, and of what it takes for an answer.
	sarama.MaxResponseSize = math.MaxInt32
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.ClientID = asked.ClientID
	config.RackID = asked.Rack
	config.Consumer.Return.Errors = true
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Fetch.Default = asked.PartitionMaxBytes
	if asked.Committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer([]string{asked.Bootstrap}, config)
	check(err)
	var running sync.WaitGroup
	for _, each := range asked.Parts {
		reading, err := consumer.ConsumePartition(each.Topic, each.Partition, each.Start)
		check(err)
		running.Add(1)
		go func(until int64) {
			defer running.Done()
			for {
				select {
				case r := <-reading.Messages():
					one := line{
						Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key,
						Timestamp: r.Timestamp.UnixMilli(),
					}
					for _, header := range r.Headers {
						one.Headers = append(one.Headers, []any{string(header.Key), header.Value})
					}
					out.print(one, r.Value)
					if r.Offset >= until {
						check(reading.Close())
						return
					}
				case failed := <-reading.Errors():
					// It tells of it, and goes on by itself.
					log.Print(failed)
				case <-ctx.Done():
					check(ctx.Err())
				}
			}
		}(each.Until)
	}
	running.Wait()
	check(consumer.Close())
}
