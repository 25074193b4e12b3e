package lfsconfluent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
	opened, err := Open(t.Context(), client, record)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if data, err := io.ReadAll(opened.Stream); string(data) != "ordinary" || err != nil {
		t.Errorf("%s, %v", data, err)
	}
	refused := `{"lfs_version":2,"s3_bucket":"b","s3_key":"k"}`
	record.Value = []byte(refused)
	if _, err := Resolve(t.Context(), client, record); string(record.Value) != refused || !errors.Is(err, lfs.ErrUnsupportedEnvelope) {
		t.Errorf("%s, %v", record.Value, err)
	}
}

// inMemory is a source of one blob.
type inMemory struct{ t *testing.T }

const envelope = `{"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/k","content_type":"a/b","content_length":5,` +
	`"checksum_algo":"crc32","checksum":"3610a686"}`

func (m inMemory) Get(_ context.Context, request lfs.GetRequest) (lfs.GetResponse, error) {
	if *request.Record != (lfs.Coordinates{Topic: "t", Partition: 3, Offset: 7}) {
		m.t.Errorf("of %+v", request.Record)
	}
	return lfs.GetResponse{Body: io.NopCloser(strings.NewReader("hello")), Length: 5}, nil
}

// TestSourcesAreToldTheRecord, and ResolveAll leaves the record as it was.
func TestSourcesAreToldTheRecord(t *testing.T) {
	client, err := lfs.New(t.Context(), lfs.Config{Bucket: "kafscale", Source: inMemory{t}})
	if err != nil {
		t.Fatal(err)
	}
	topic := "t"
	record := &kafka.Message{
		TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: 3, Offset: 7}, Value: []byte(envelope),
	}
	count := 0
	for got, err := range ResolveAll(t.Context(), client, []*kafka.Message{record}, lfs.Prefetch{}) {
		if count++; string(got.Value) != "hello" || string(record.Value) != envelope || got.Record != record || err != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	told := int64(0)
	opened, err := Open(t.Context(), client, record, lfs.WithProgress(func(size int64) { told = size }))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(opened.Stream); string(data) != "hello" || err != nil || told != 5 {
		t.Errorf("%s, %v, told %d", data, err, told)
	}
	if info, err := Resolve(t.Context(), client, record); string(record.Value) != "hello" || info.Envelope == nil || err != nil || count != 1 {
		t.Errorf("%s, %+v, %v", record.Value, info, err)
	}
}

func TestMarkBySize(t *testing.T) {
	for _, test := range []struct {
		value   []byte
		minSize int
		headers []kafka.Header
		want    string
	}{
		{make([]byte, lfs.DefaultMarkMinSize), lfs.DefaultMarkMinSize, nil, "LFS_BLOB= content-type=a/b "},
		{make([]byte, lfs.DefaultMarkMinSize-1), lfs.DefaultMarkMinSize, nil, ""},
		{[]byte{}, 0, nil, "LFS_BLOB= content-type=a/b "},
		{nil, 0, nil, ""},
		{[]byte("hello"), 5, []kafka.Header{{Key: "LFS_BLOB", Value: []byte("mine")}, {Key: "x"}}, "LFS_BLOB=mine x= "},
	} {
		record := &kafka.Message{Value: test.value, Headers: test.headers}
		MarkBySize(record, test.minSize, lfs.MarkOptions{ContentType: "a/b"})
		got := ""
		for _, header := range record.Headers {
			got += fmt.Sprintf("%s=%s ", header.Key, header.Value)
		}
		if got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
