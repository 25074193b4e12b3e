package main

import (
	"bytes"
	"context"
	"io"
	"testing"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

// memory gives one blob from memory: a test needs no S3 server.
type memory []byte

func (m memory) Get(_ context.Context, request lfs.GetRequest) (lfs.GetResponse, error) {
	if request.Envelope.Key != "lfs/default/t/0/0-x.bin" {
		return lfs.GetResponse{}, lfs.ErrBlobMissing
	}
	rest := m[request.Offset:]
	return lfs.GetResponse{Body: io.NopCloser(bytes.NewReader(rest)), Length: int64(len(rest))}, nil
}

func TestConsumer(t *testing.T) {
	client, err := lfs.New(t.Context(), lfs.Config{Bucket: "b", Source: memory("hello")})
	if err != nil {
		t.Fatal(err)
	}
	envelope := `{"lfs_version":1,"s3_bucket":"b","s3_key":"lfs/default/t/0/0-x.bin","content_type":"text/plain",` +
		`"content_length":5,"checksum_algo":"crc32","checksum":"3610a686"}`
	payload, _, err := client.Fetch(t.Context(), []byte(envelope))
	if string(payload) != "hello" || err != nil {
		t.Errorf("%s, %v", payload, err)
	}
}
