package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	lfsconfluent "github.com/lfsproxy/lfsproxy/sdk/go/confluent"
)

func main() {
	if err := produce("demo-topic", bytes.Repeat([]byte("large "), 1_000_000)); err != nil {
		log.Fatal(err)
	}
	if err := consumeOne(context.Background(), "demo-topic"); err != nil {
		log.Fatal(err)
	}
}

func produce(topic string, image []byte) error {
	producer, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": "localhost:19092",
		"message.max.bytes": 100_000_000, // librdkafka's own limit is 1 MB
	})
	if err != nil {
		return err
	}
	defer producer.Close()
	message := &kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny},
		Value:          image,
	}
	lfsconfluent.Mark(message, lfs.MarkOptions{ContentType: "image/png", Verify: true})
	delivered := make(chan kafka.Event, 1)
	if err := producer.Produce(message, delivered); err != nil {
		return err
	}
	place := (<-delivered).(*kafka.Message).TopicPartition
	if place.Error != nil {
		return place.Error
	}
	fmt.Printf("published at %d:%d\n", place.Partition, place.Offset)
	return nil
}

func consumeOne(ctx context.Context, topic string) error {
	client, err := lfs.FromEnvironment(ctx)
	if err != nil {
		return err
	}
	consumer, err := kafka.NewConsumer(&kafka.ConfigMap{
		"bootstrap.servers": "localhost:19092",
		"group.id":          "demo",
		"auto.offset.reset": "earliest",
	})
	if err != nil {
		return err
	}
	defer consumer.Close()
	if err := consumer.Subscribe(topic, nil); err != nil {
		return err
	}
	message, err := consumer.ReadMessage(time.Minute)
	if err != nil {
		return err
	}
	info, err := lfsconfluent.Resolve(ctx, client, message) // message.Value is now the blob's bytes
	if err != nil {
		return err
	}
	fmt.Println(message.TopicPartition.Offset, len(message.Value), "bytes, offloaded:", info.Envelope != nil)
	return nil
}
