// franz-go's share consumers under the tests' command: what tests/integration/clients/Share.java does, but for "read".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type shareCommand struct {
	Do, Name, Bootstrap, Group, Topic string
	Seconds                           int
	Acks                              [][3]any
}

type shareRecord struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Delivery  int32  `json:"delivery"`
	Size      int    `json:"size"`
	CRC       uint32 `json:"crc"`
}

type shareAnswer struct {
	Records []shareRecord `json:"records"`
	Errors  []string      `json:"errors"`
	Error   string        `json:"error,omitempty"`
}

type shareConsumer struct {
	client *kgo.Client
	held   map[string]*kgo.Record
	lock   sync.Mutex
	errors []string
}

var statuses = map[string]kgo.AckStatus{
	"ACCEPT": kgo.AckAccept, "RELEASE": kgo.AckRelease, "REJECT": kgo.AckReject, "RENEW": kgo.AckRenew,
}

func share() {
	consumers := map[string]*shareConsumer{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked shareCommand
		check(json.Unmarshal(lines.Bytes(), &asked))
		answer := shareAnswer{Records: []shareRecord{}, Errors: []string{}}
		var err error
		switch asked.Do {
		case "open":
			consumers[asked.Name], err = openShare(asked)
		case "poll":
			err = consumers[asked.Name].poll(asked.Seconds, &answer)
		case "acknowledge":
			err = consumers[asked.Name].acknowledge(asked.Acks, &answer)
		case "close":
			consumers[asked.Name].client.Close()
		default:
			err = fmt.Errorf("there is no %q", asked.Do)
		}
		if err != nil {
			answer.Error = nameOf(err)
		}
		check(json.NewEncoder(os.Stdout).Encode(answer))
	}
}

func openShare(asked shareCommand) (*shareConsumer, error) {
	made := &shareConsumer{held: map[string]*kgo.Record{}}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(asked.Bootstrap), kgo.ConsumeTopics(asked.Topic), kgo.ShareGroup(asked.Group),
		// As much as Java's, and one fetch for a poll: a record of 20 MB is one of several in an answer.
		kgo.FetchMaxBytes(50_000_000), kgo.BrokerMaxReadBytes(200_000_000), kgo.MaxConcurrentFetches(0),
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			made.lock.Lock()
			defer made.lock.Unlock()
			for _, one := range results {
				if one.Err != nil {
					made.errors = append(made.errors, nameOf(one.Err))
				}
			}
		}))
	made.client = client
	return made, err
}

func (c *shareConsumer) poll(seconds int, answer *shareAnswer) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	fetches := c.client.PollFetches(ctx)
	fetches.EachRecord(func(r *kgo.Record) {
		c.held[fmt.Sprint(r.Partition, " ", r.Offset)] = r
		answer.Records = append(answer.Records, shareRecord{
			r.Partition, r.Offset, r.DeliveryCount(), len(r.Value), crc32.ChecksumIEEE(r.Value),
		})
	})
	if err := fetches.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (c *shareConsumer) acknowledge(acks [][3]any, answer *shareAnswer) error {
	for _, ack := range acks {
		c.held[fmt.Sprint(int32(ack[0].(float64)), " ", int64(ack[1].(float64)))].Ack(statuses[ack[2].(string)])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := c.client.FlushAcks(ctx)
	c.lock.Lock()
	defer c.lock.Unlock()
	answer.Errors, c.errors = append(answer.Errors, c.errors...), nil
	return err
}

func nameOf(err error) string {
	var broker *kerr.Error
	if errors.As(err, &broker) {
		return broker.Message
	}
	return err.Error()
}
