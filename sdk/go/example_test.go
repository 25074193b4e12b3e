package lfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

func handle(ctx context.Context, client *lfs.Client, value []byte) error {
	payload, info, err := client.Fetch(ctx, value) // the blob's bytes; an ordinary value as it is
	if errors.Is(err, lfs.ErrBlobMissing) {
		return nil // one lost blob does not stall the consumer
	}
	if err != nil {
		return err
	}
	fmt.Println(len(payload), "bytes, offloaded:", info.Envelope != nil)
	return nil
}

func handleLarge(ctx context.Context, client *lfs.Client, value []byte, to io.Writer) error {
	blob, err := client.Open(ctx, value) // a stream: the memory does not grow with the blob
	if err != nil {
		return err
	}
	defer blob.Close()
	if blob.Stream == nil {
		return nil // a tombstone
	}
	_, err = io.Copy(to, blob.Stream) // nil only if every byte was there and the checksum right
	return err
}

func consume(ctx context.Context, values [][]byte) error {
	client, err := lfs.FromEnvironment(ctx) // LFS_S3_BUCKET, ..., and the usual AWS credentials
	if err != nil {
		return err
	}
	for _, value := range values { // record.Value of your Kafka client
		if err := handle(ctx, client, value); err != nil {
			return err
		}
		if err := handleLarge(ctx, client, value, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

func Example() {
	envelope := `{"lfs_version":1,"s3_bucket":"kafscale",` +
		`"s3_key":"lfs/default/demo-topic/0/42-6f1c2a04-9f1e-4c1b-8a53-0d7c5c1f9b7e.bin",` +
		`"content_type":"text/plain","content_length":1400000,"checksum_algo":"crc32","checksum":"161f50ed"}`
	if err := consume(context.Background(), [][]byte{[]byte("small"), []byte(envelope)}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 5 bytes, offloaded: false
	// 1400000 bytes, offloaded: true
}
