package lfs

import "bytes"

// Headers of a Kafka record that the proxy looks at. Their names match exactly.
const (
	HeaderBlob        = "LFS_BLOB"
	HeaderAlgorithm   = "LFS_BLOB_ALG"
	HeaderContentType = "content-type"
	// HeaderFilename is on records that were uploaded over HTTP with their file's name.
	HeaderFilename = "lfs-filename"
)

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
