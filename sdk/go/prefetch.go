package lfs

import (
	"context"
	"iter"
	"math"
	"sync"
)

// Defaults of [Prefetch].
const (
	DefaultConcurrency = 8
	// DefaultPrefetchBytes is 256 MiB.
	DefaultPrefetchBytes = 256 << 20
)

// Prefetch bounds [ResolveAll]. The zero value is enough.
type Prefetch struct {
	// Concurrency is the most blobs that are fetched at a time; 0 or less: DefaultConcurrency.
	Concurrency int
	// MaxBytes is the most bytes of blobs that are held: each counts by its envelope's length from when its
	// fetch begins until its record is handed over. 0: DefaultPrefetchBytes; Unlimited: no limit. A blob that is
	// larger goes alone.
	MaxBytes int64
}

// Resolved is a record and the value behind its own.
type Resolved[R any] struct {
	// Record is as it was: it has the envelope, not the blob.
	Record R
	// Value is the blob's bytes, or an ordinary value; nil with an error, as for a tombstone and a missing blob
	// that is skipped. It is held by nobody else.
	Value []byte
	Info
}

// ResolveAll fetches the blobs behind the records of one poll in parallel, and hands the records over in their
// order, as if each was given to [Client.Fetch]. read gives a record's value, and where it is in Kafka; it is
// called for all of them when the loop begins.
//
// A failure is its own record's: it comes in its place, and the others go on. The error is as Fetch's. With the
// loop, or with the context, the fetches end: none runs on when the loop is left.
func ResolveAll[R any](
	ctx context.Context, client *Client, records []R, read func(R) ([]byte, Coordinates), bounds Prefetch,
) iter.Seq2[Resolved[R], error] {
	return func(yield func(Resolved[R], error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		p := &prefetch{ctx: ctx, client: client, concurrency: bounds.Concurrency, maxBytes: or(bounds.MaxBytes, DefaultPrefetchBytes)}
		if p.concurrency <= 0 {
			p.concurrency = DefaultConcurrency
		}
		if p.maxBytes < 0 {
			p.maxBytes = math.MaxInt64
		}
		for _, record := range records {
			p.add(read(record))
		}
		defer p.stop(cancel)
		for i, record := range records {
			value, info, err := p.take(i)
			if !yield(Resolved[R]{record, value, info}, err) {
				return
			}
		}
	}
}

// prefetch is the state of one loop. Fetches begin in the order of the records: when one begins for the record
// that the loop waits for, all before it were handed over, so that nothing is held.
type prefetch struct {
	ctx         context.Context
	client      *Client
	concurrency int
	maxBytes    int64
	fetches     sync.WaitGroup

	mu      sync.Mutex
	all     []*resolving // nil: handed over
	next    int          // the first that was not begun
	running int
	held    int64
	stopped bool
}

// resolving is one record: its envelope and where it is, and what came of it.
type resolving struct {
	from  Coordinates
	size  int64         // counts in held from the beginning of the fetch until the record is handed over
	done  chan struct{} // closed when the rest is there
	value []byte
	info  Info
	err   error
}

func (p *prefetch) add(value []byte, from Coordinates) {
	r := &resolving{from: from, value: value, done: make(chan struct{})}
	p.all = append(p.all, r)
	envelope, err := ParseEnvelope(value)
	if err != nil {
		r.value, r.err = nil, err
	}
	if envelope == nil {
		close(r.done)
		return
	}
	r.info.Envelope = envelope
	if p.client.check(envelope, p.client.maxFetch()) == nil { // else nothing will be fetched
		r.size = envelope.Length
	}
}

// begin starts the fetches that may start now.
func (p *prefetch) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; !p.stopped && p.next < len(p.all); p.next++ {
		r := p.all[p.next]
		if r.info.Envelope == nil {
			continue
		}
		if p.running == p.concurrency || (p.held > 0 && r.size > p.maxBytes-p.held) {
			return
		}
		p.running++
		p.held += r.size
		p.fetches.Add(1)
		go p.fetch(r)
	}
}

func (p *prefetch) fetch(r *resolving) {
	value, envelope := r.value, r.info.Envelope
	r.value = nil
	r.err = failure(ErrReadInterrupted, envelope, nil, "a fetch was broken off") // by runtime.Goexit in a hook, say
	defer func() {
		close(r.done)
		p.mu.Lock()
		p.running--
		p.mu.Unlock()
		p.begin()
		p.fetches.Done()
	}()
	r.value, r.info, r.err = p.client.fetch(p.ctx, value, envelope, readOptionsOf([]ReadOption{WithRecord(r.from)}))
}

// take waits for a record's result. From then on it is the caller's, and others may begin.
func (p *prefetch) take(i int) ([]byte, Info, error) {
	p.begin()
	r := p.all[i]
	<-r.done
	p.mu.Lock()
	p.all[i] = nil
	p.held -= r.size
	p.mu.Unlock()
	p.begin()
	return r.value, r.info, r.err
}

// stop ends what is under way, and returns when nothing runs on.
func (p *prefetch) stop(cancel func()) {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	cancel()
	p.fetches.Wait()
}
