package lfsconfluent

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

func TestMarkReplacesItsOwnHeadersOnly(t *testing.T) {
	record := &kafka.Message{Value: []byte("hello"), Headers: []kafka.Header{
		{Key: "LFS_BLOB_ALG", Value: []byte("md5")}, {Key: "lfs_blob"}, {Key: "x", Value: []byte("y")},
	}}
	for range 2 {
		Mark(record, lfs.MarkOptions{Algorithm: lfs.CRC32, Verify: true, ContentType: "a/b"})
	}
	got := ""
	for _, header := range record.Headers {
		got += fmt.Sprintf("%s=%s ", header.Key, header.Value)
	}
	if got != "lfs_blob= x=y LFS_BLOB=3610a686 LFS_BLOB_ALG=crc32 content-type=a/b " {
		t.Error(got)
	}
	tombstone := &kafka.Message{}
	if Mark(tombstone, lfs.MarkOptions{}); len(tombstone.Headers) != 0 {
		t.Error(tombstone.Headers)
	}
}

func TestResolveAndOpen(t *testing.T) {
	client, err := lfs.New(t.Context(), lfs.Config{Bucket: "kafscale"})
	if err != nil {
		t.Fatal(err)
	}
	record := &kafka.Message{Value: []byte("ordinary")}
	if info, err := Resolve(t.Context(), client, record); string(record.Value) != "ordinary" || info.Envelope != nil || err != nil {
		t.Errorf("%s, %+v, %v", record.Value, info, err)
	}
	stream, _, err := Open(t.Context(), client, record)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(stream); string(data) != "ordinary" || err != nil {
		t.Errorf("%s, %v", data, err)
	}
	refused := `{"lfs_version":2,"s3_bucket":"b","s3_key":"k"}`
	record.Value = []byte(refused)
	if _, err := Resolve(t.Context(), client, record); string(record.Value) != refused || !errors.Is(err, lfs.ErrUnsupportedEnvelope) {
		t.Errorf("%s, %v", record.Value, err)
	}
}
