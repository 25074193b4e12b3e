// Produces the two records of capture.py with one of the Go clients: main <client> <bootstrap> <topic> <codec>.
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

var plain = []byte("plain value")
var blob = []byte(strings.Repeat("blob value, ", 20))

func main() {
	client, bootstrap, topic, codec := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	clients := map[string]func(string, string, string) error{
		"franz-go": franz, "sarama": saramaClient, "kafka-go": segmentio,
	}
	if err := clients[client](bootstrap, topic, codec); err != nil {
		log.Fatal(err)
	}
}

func franz(bootstrap, topic, codec string) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ProducerBatchCompression(codecs[codec]),
		kgo.ProducerLinger(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer c.Close()
	return c.ProduceSync(context.Background(),
		&kgo.Record{Topic: topic, Key: []byte("k0"), Value: plain,
			Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("1")}}},
		&kgo.Record{Topic: topic, Key: []byte("k1"), Value: blob,
			Headers: []kgo.RecordHeader{{Key: "LFS_BLOB"}, {Key: "content-type", Value: []byte("text/plain")}}},
	).FirstErr()
}

func saramaClient(bootstrap, topic, codec string) error {
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Compression = codecs[codec]
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Flush.Messages = 2
	config.Producer.Flush.Frequency = time.Second
	p, err := sarama.NewSyncProducer([]string{bootstrap}, config)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.SendMessages([]*sarama.ProducerMessage{
		{Topic: topic, Key: sarama.StringEncoder("k0"), Value: sarama.ByteEncoder(plain),
			Headers: []sarama.RecordHeader{{Key: []byte("trace"), Value: []byte("1")}}},
		{Topic: topic, Key: sarama.StringEncoder("k1"), Value: sarama.ByteEncoder(blob),
			Headers: []sarama.RecordHeader{{Key: []byte("LFS_BLOB")},
				{Key: []byte("content-type"), Value: []byte("text/plain")}}},
	})
}

func segmentio(bootstrap, topic, codec string) error {
	codecs := map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	}
	w := &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: topic, Compression: codecs[codec],
		RequiredAcks: kafka.RequireAll, BatchSize: 2}
	defer w.Close()
	return w.WriteMessages(context.Background(),
		kafka.Message{Key: []byte("k0"), Value: plain,
			Headers: []kafka.Header{{Key: "trace", Value: []byte("1")}}},
		kafka.Message{Key: []byte("k1"), Value: blob,
			Headers: []kafka.Header{{Key: "LFS_BLOB"}, {Key: "content-type", Value: []byte("text/plain")}}},
	)
}
