// Three consumers of Go, as the package readers describes them: readers franz-go | sarama | kafka-go < JOB
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"sync"
	"time"
)

type part struct {
	Topic     string
	Partition int32
	Start     int64
	Until     int64
}

type job struct {
	Bootstrap         string
	ClientID          string `json:"client_id"`
	Committed         bool
	MaxBytes          int32 `json:"max_bytes"`
	PartitionMaxBytes int32 `json:"partition_max_bytes"`
	Parts             []part
	Rack              string
}

// Bytes are base64 in JSON; nil is null.
type line struct {
	Topic         string  `json:"topic"`
	Partition     int32   `json:"partition"`
	Offset        int64   `json:"offset"`
	Key           []byte  `json:"key"`
	Timestamp     int64   `json:"timestamp"`
	TimestampType *int8   `json:"timestamp_type"`
	Headers       [][]any `json:"headers"`
	Length        int     `json:"length"`
	Sha256        string  `json:"sha256"`
}

// printer writes the lines, and knows when the last record of each partition was seen.
type printer struct {
	lock sync.Mutex
	open map[part]int64
	to   *json.Encoder
}

func newPrinter(asked job, to *bufio.Writer) *printer {
	made := &printer{open: map[part]int64{}, to: json.NewEncoder(to)}
	for _, each := range asked.Parts {
		made.open[part{Topic: each.Topic, Partition: each.Partition}] = each.Until
	}
	return made
}

func (p *printer) print(one line, value []byte) {
	p.lock.Lock()
	defer p.lock.Unlock()
	one.Length = -1
	if value != nil {
		digest := sha256.Sum256(value)
		one.Length, one.Sha256 = len(value), hex.EncodeToString(digest[:])
	}
	if one.Headers == nil {
		one.Headers = [][]any{}
	}
	check(p.to.Encode(one))
	place := part{Topic: one.Topic, Partition: one.Partition}
	if until, there := p.open[place]; there && one.Offset >= until {
		delete(p.open, place)
	}
}

func (p *printer) done() bool {
	p.lock.Lock()
	defer p.lock.Unlock()
	return len(p.open) == 0
}

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var asked job
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	written := bufio.NewWriterSize(os.Stdout, 1<<16)
	out := newPrinter(asked, written)
	switch os.Args[1] {
	case "franz-go":
		readByFranz(ctx, asked, out)
	case "sarama":
		readBySarama(ctx, asked, out)
	case "kafka-go":
		readByKafkaGo(ctx, asked, out)
	default:
		log.Fatalf("there is no %q", os.Args[1])
	}
	check(written.Flush())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
