package lfs

import (
	"bytes"
	"slices"
)

// Headers of a Kafka record that the proxy looks at. Their names match exactly.
const (
	HeaderBlob        = "LFS_BLOB"
	HeaderAlgorithm   = "LFS_BLOB_ALG"
	HeaderContentType = "content-type"
	// HeaderFilename is on records that were uploaded over HTTP with their file's name.
	HeaderFilename = "lfs-filename"
)

// DefaultMarkMinSize is the size in bytes from which on values are best marked: Kafka's own limit is about this.
const DefaultMarkMinSize = 1_000_000

// Header is a record header, for whatever Kafka client.
type Header struct {
	Key   string
	Value []byte
}

// MarkOptions says how the proxy is to offload a record. The zero value is enough.
type MarkOptions struct {
	// Algorithm of the envelope's checksum. Empty: the proxy's own, LFS_CHECKSUM_ALGO; with Checksum or
	// Verify it is SHA256.
	Algorithm Algorithm
	// ContentType of the blob. Empty: application/octet-stream.
	ContentType string
	// Checksum in hex that the value must have where it arrives. A record that has another is refused.
	Checksum string
	// Verify computes Checksum from the value, where it is not given.
	Verify bool
}

// Headers are those that ask the proxy to offload a record with this value. There are none for a nil value: a
// tombstone is never offloaded. An unknown algorithm is refused by the proxy when the record is produced.
func Headers(value []byte, options MarkOptions) []Header {
	if value == nil {
		return nil
	}
	if options.Algorithm == "" && (options.Verify || options.Checksum != "") {
		options.Algorithm = SHA256
	}
	if options.Verify && options.Checksum == "" {
		if sum, err := options.Algorithm.Sum(bytes.NewReader(value)); err == nil {
			options.Checksum = sum
		}
	}
	headers := []Header{{HeaderBlob, []byte(options.Checksum)}}
	if options.Algorithm != "" {
		headers = append(headers, Header{HeaderAlgorithm, []byte(options.Algorithm)})
	}
	if options.ContentType != "" {
		headers = append(headers, Header{HeaderContentType, []byte(options.ContentType)})
	}
	return headers
}

// HeadersBySize are [Headers] of a value of at least minSize bytes (0: of any value but nil); none of a smaller one.
func HeadersBySize(value []byte, minSize int, options MarkOptions) []Header {
	if len(value) < minSize {
		return nil
	}
	return Headers(value, options)
}

// KafkaHeader is what a header is to franz-go (kgo.RecordHeader), confluent-kafka-go (kafka.Header) and others.
type KafkaHeader interface {
	~struct {
		Key   string
		Value []byte
	}
}

// AddHeaders returns a record's own headers with marks, of [Headers], in place of those that have their names. own
// is left as it is: records may share it.
func AddHeaders[H KafkaHeader](own []H, marks []Header) []H {
	if len(marks) == 0 {
		return own
	}
	all := make([]H, 0, len(own)+len(marks))
	for _, header := range own {
		isNamed := func(mark Header) bool { return mark.Key == Header(header).Key }
		if !slices.ContainsFunc(marks, isNamed) {
			all = append(all, header)
		}
	}
	for _, mark := range marks {
		all = append(all, H(mark))
	}
	return all
}

// IsMarked tells whether headers ask the proxy to offload their record.
func IsMarked[H KafkaHeader](headers []H) bool {
	return slices.ContainsFunc(headers, func(header H) bool { return Header(header).Key == HeaderBlob })
}
