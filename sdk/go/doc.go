// Package lfs reads the blobs that LFS Proxy keeps in S3 in place of large Kafka values, and helps to produce them.
//
// A consumer gets a small JSON envelope where a large value was published. A [Client] turns it back into the
// value: [Client.Fetch] gives the bytes, [Client.Resolve] a stream. Length and checksum are verified on the
// way, and the last bytes are handed over only when both are right: a loop that ends with [io.EOF] has read
// the blob that was published. A value that is no envelope comes back as it is.
//
// An envelope is whatever a producer wrote. A client follows only the buckets and key prefixes it is told
// ([Config]), and a blob's size can be limited before anything is fetched.
//
// To produce: [Headers] gives the headers that ask the proxy to offload a record (the modules franz and
// confluent beside this one set them on records of those clients), and an [Uploader] sends a file over HTTP.
package lfs
