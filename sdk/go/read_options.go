package lfs

// Coordinates say where a record is in Kafka.
type Coordinates struct {
	Topic     string
	Partition int32
	Offset    int64
}

// ReadOption changes one read.
type ReadOption func(*readOptions)

type readOptions struct {
	record   *Coordinates
	progress func(int64)
}

// WithRecord says where the value was in Kafka. A [ProxySource] needs it, and OnResolve of [Config] is told.
func WithRecord(record Coordinates) ReadOption {
	return func(o *readOptions) { o.record = &record }
}

// WithProgress has told be called with the bytes of the blob that were read so far: never fewer than before, and
// with the whole length before the read succeeds. It runs in the goroutine that reads; a panic of it breaks
// off the read. It is not called for an ordinary value.
func WithProgress(told func(size int64)) ReadOption {
	return func(o *readOptions) { o.progress = told }
}

func readOptionsOf(options []ReadOption) readOptions {
	var all readOptions
	for _, option := range options {
		option(&all)
	}
	if all.progress == nil {
		all.progress = func(int64) {}
	}
	return all
}
