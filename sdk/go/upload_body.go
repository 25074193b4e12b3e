package lfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// uploadBody is a body on its way. It knows how far it was read: what fails before the end was certainly not
// published. To close it does not close the caller's.
type uploadBody struct {
	ctx      context.Context
	body     io.Reader
	buffer   []byte
	length   int64 // below 0: not known
	progress func(int64)
	headers  atomic.Bool // they were sent

	reading chan struct{} // has one token: whoever reads, or has let go for good, has taken it
	over    atomic.Bool
	mu      sync.Mutex
	size    int64 // that was read
	ended   bool
	failure error // of the caller's body
	panics  any   // what the caller's body or progress function panicked with
}

// uploadBytes is the most that is read at a time: what net/http's own buffer for a body has.
const uploadBytes = 32 * 1024

var errLetGo = errors.New("lfs: the upload is over")

func newUploadBody(ctx context.Context, body io.Reader, options UploadOptions) *uploadBody {
	u := &uploadBody{ctx: ctx, body: body, buffer: make([]byte, uploadBytes), length: -1, progress: options.OnProgress, reading: make(chan struct{}, 1)}
	if u.progress == nil {
		u.progress = func(int64) {}
	}
	switch known := body.(type) {
	case nil:
		u.body, u.length = http.NoBody, 0
	case *bytes.Reader:
		u.length = int64(known.Len())
	case *bytes.Buffer:
		u.length = int64(known.Len())
	case *strings.Reader:
		u.length = int64(known.Len())
	case *os.File:
		u.length = leftOf(known)
	}
	if options.Length > 0 {
		u.length = options.Length
	}
	u.reading <- struct{}{}
	return u
}

// leftOf is how many bytes a regular file has from where it stands; below 0 where it is another kind of file.
func leftOf(file *os.File) int64 {
	status, err := file.Stat()
	if err != nil || !status.Mode().IsRegular() || status.Size() == 0 { // those of /proc say 0, and have bytes
		return -1
	}
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1
	}
	return max(0, status.Size()-at)
}

// reader is what the HTTP client reads; of a body without bytes it knows.
func (u *uploadBody) reader() io.Reader {
	if u.length == 0 {
		return http.NoBody
	}
	return u
}

// again gives the body to another connection, if the first one has read nothing of it.
func (u *uploadBody) again() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.size > 0 || u.ended || u.failure != nil {
		return nil, errors.New("lfs: the body was read already")
	}
	return u, nil
}

// Read is called by the HTTP client, which waits for it when the context ends. So a Read of the caller's body
// that waits, for a pipe say, is left behind then, together with the token.
func (u *uploadBody) Read(into []byte) (int, error) {
	select {
	case <-u.reading:
	default:
		return 0, errLetGo
	}
	if u.over.Load() {
		u.reading <- struct{}{}
		return 0, errLetGo
	}
	into = into[:min(len(into), len(u.buffer))]
	if u.length > 0 { // a file that grows meanwhile is sent as long as it was
		into = into[:min(int64(len(into)), u.length-u.read())]
	}
	if len(into) == 0 {
		u.reading <- struct{}{}
		return 0, io.EOF
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		var got result
		if err := u.guarded(func() { got.n, got.err = u.body.Read(u.buffer[:len(into)]) }); err != nil {
			got = result{0, err}
		}
		done <- got
	}()
	select {
	case got := <-done:
		n := copy(into, u.buffer[:got.n])
		err := u.count(n, got.err)
		u.reading <- struct{}{}
		return n, err
	case <-u.ctx.Done():
		return 0, u.ctx.Err()
	}
}

// count takes note of what was read, and returns what the HTTP client is told.
func (u *uploadBody) count(n int, err error) error {
	u.mu.Lock()
	u.size += int64(n)
	size := u.size
	switch {
	case err == io.EOF && u.length > 0 && size < u.length:
		err = fmt.Errorf("it ends after %d of %d bytes: %w", size, u.length, io.ErrUnexpectedEOF)
		u.failure = err
	case err == io.EOF || (u.length > 0 && size >= u.length):
		u.ended = true
	case err != nil:
		u.failure = err
	}
	u.mu.Unlock()
	if n > 0 {
		if panicked := u.guarded(func() { u.progress(size) }); panicked != nil {
			return panicked
		}
	}
	return err
}

var errPanicked = errors.New("lfs: the caller's code has panicked")

// guarded calls what is the caller's. A panic would end the process here, as nobody can recover it in a goroutine of
// the HTTP client: it is an error, and Upload panics in place of it.
func (u *uploadBody) guarded(call func()) (err error) {
	defer func() {
		if with := recover(); with != nil {
			u.mu.Lock()
			u.panics = with
			u.mu.Unlock()
			err = errPanicked
		}
	}()
	call()
	return nil
}

// repanic panics as the caller's code has, in the caller's goroutine.
func (u *uploadBody) repanic() {
	u.mu.Lock()
	with := u.panics
	u.mu.Unlock()
	if with != nil {
		panic(with)
	}
}

// read is how many bytes were read.
func (u *uploadBody) read() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size
}

// Close leaves the caller's body open.
func (u *uploadBody) Close() error { return nil }

// letGo makes sure that the caller's body is not read any more. A Read is waited for, until the context ends.
func (u *uploadBody) letGo() {
	u.over.Store(true)
	select {
	case <-u.reading:
	case <-u.ctx.Done():
	}
}

func (u *uploadBody) traced() context.Context {
	return httptrace.WithClientTrace(u.ctx, &httptrace.ClientTrace{WroteHeaders: func() { u.headers.Store(true) }})
}

// lost tells what it means that no answer came.
func (u *uploadBody) lost(topic string, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err = withoutURL(err); u.ctx.Err() != nil {
		err = endOf(u.ctx)
	}
	whole := u.ended || (u.length == 0 && u.headers.Load())
	switch {
	case u.failure != nil:
		return fmt.Errorf("lfs: the body of the upload to %s cannot be read, so nothing was published: %w", topic, u.failure)
	case whole:
		return failure(ErrOutcomeUnknown, nil, err, "the upload to %s was sent, and whether it was published is not known: %s", topic, err)
	case u.ctx.Err() != nil:
		return fmt.Errorf("lfs: the upload to %s was given up, so nothing was published: %w", topic, err)
	}
	return failure(ErrProxyUnavailable, nil, err, "the proxy was not reached, or lost before the end of the upload to %s, so nothing was published: %s", topic, err)
}
