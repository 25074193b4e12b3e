// Command conformance drives the SDK for the end-to-end tests of the repository: JSON lines in, JSON lines out.
// Each line in has an "op": configure, read, stream, poll, produce or upload.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
	lfsfranz "github.com/lfsproxy/lfsproxy/sdk/go/franz"
)

type command struct {
	Op string `json:"op"`

	Bucket    string   `json:"bucket"`
	Buckets   []string `json:"buckets"`
	Endpoint  string   `json:"endpoint"`
	Region    string   `json:"region"`
	PathStyle bool     `json:"path_style"`
	Prefixes  []string `json:"prefixes"`
	MaxSize   *int64   `json:"max_size"` // null: the default; 0: unlimited
	OnMissing string   `json:"on_missing"`

	Value []byte `json:"value"`

	Values      [][]byte `json:"values"`
	Concurrency int      `json:"concurrency"`
	MaxBytes    int64    `json:"max_bytes"`

	Bootstrap   string        `json:"bootstrap"`
	URL         string        `json:"url"`
	Topic       string        `json:"topic"`
	File        string        `json:"file"`
	Algorithm   lfs.Algorithm `json:"algorithm"`
	ContentType string        `json:"content_type"`
	Expected    bool          `json:"expected"`
}

// answer has null for what does not apply.
type answer struct {
	Outcome   string  `json:"outcome"`
	Length    *int64  `json:"length"`
	SHA256    *string `json:"sha256"`
	Partition *int32  `json:"partition,omitempty"`
	Offset    *int64  `json:"offset,omitempty"`
	Message   string  `json:"message"`

	Records []answer `json:"records,omitzero"`
}

func main() {
	if err := serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	driver := driver{}
	lines, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var line command
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := answers.Encode(driver.do(ctx, line)); err != nil {
			return err
		}
	}
}

type driver struct{ client *lfs.Client }

func (d *driver) do(ctx context.Context, line command) answer {
	switch line.Op {
	case "configure":
		return d.configure(ctx, line)
	case "read", "stream", "poll":
		if d.client == nil {
			return failed(errors.New("configure comes first"))
		}
		if line.Op == "poll" {
			return d.poll(ctx, line)
		}
		return d.read(ctx, line)
	case "produce":
		return produce(ctx, line)
	case "upload":
		return upload(ctx, line)
	}
	return answer{Outcome: "unsupported"}
}

func (d *driver) configure(ctx context.Context, line command) answer {
	kinds := map[string]lfs.OnMissing{"": lfs.Raise, "raise": lfs.Raise, "skip": lfs.Skip, "envelope": lfs.KeepEnvelope}
	missing, known := kinds[line.OnMissing]
	if !known {
		return failed(fmt.Errorf("unknown on_missing %q", line.OnMissing))
	}
	maxSize := int64(0)
	if line.MaxSize != nil {
		if maxSize = *line.MaxSize; maxSize == 0 {
			maxSize = lfs.Unlimited
		}
	}
	client, err := lfs.New(ctx, lfs.Config{
		Bucket: line.Bucket, Buckets: line.Buckets, Endpoint: line.Endpoint, Region: line.Region,
		PathStyle: line.PathStyle, Prefixes: line.Prefixes, MaxSize: maxSize, OnMissing: missing,
	})
	if err != nil {
		return failed(err)
	}
	d.client = client
	return answer{Outcome: "ok"}
}

func (d *driver) read(ctx context.Context, line command) answer {
	sum := sha256.New()
	var length int64
	var info lfs.Info
	var err error
	if line.Op == "read" {
		var data []byte
		data, info, err = d.client.Fetch(ctx, line.Value)
		length = int64(len(data))
		sum.Write(data)
	} else {
		var blob *lfs.Blob
		if blob, err = d.client.Open(ctx, line.Value); err == nil {
			if info = blob.Info; blob.Stream != nil {
				length, err = io.Copy(sum, blob.Stream)
			}
			err = errors.Join(err, blob.Close())
		}
	}
	if err != nil {
		return failed(err)
	}
	return handedOver(info, length, sum)
}

// poll reads the values as the records of one poll.
func (d *driver) poll(ctx context.Context, line command) answer {
	var records []*kgo.Record
	for _, value := range line.Values {
		records = append(records, &kgo.Record{Value: value})
	}
	all := answer{Outcome: "ok", Records: []answer{}}
	bounds := lfs.Prefetch{Concurrency: line.Concurrency, MaxBytes: line.MaxBytes}
	for got, err := range lfsfranz.ResolveAll(ctx, d.client, records, bounds) {
		if err != nil {
			all.Records = append(all.Records, failed(err))
			continue
		}
		sum := sha256.New()
		sum.Write(got.Value)
		all.Records = append(all.Records, handedOver(got.Info, int64(len(got.Value)), sum))
	}
	return all
}

func handedOver(info lfs.Info, length int64, sum hash.Hash) answer {
	outcome := "blob"
	if info.Envelope == nil {
		outcome = "ordinary"
	} else if info.Missing {
		outcome = "skipped"
	}
	text := hex.EncodeToString(sum.Sum(nil))
	return answer{Outcome: outcome, Length: &length, SHA256: &text}
}

// produce sends the file as one marked record; franz-go's own limit on a record's size is raised to fit.
func produce(ctx context.Context, line command) answer {
	value, err := os.ReadFile(line.File)
	if err != nil {
		return failed(err)
	}
	record := &kgo.Record{Topic: line.Topic, Value: value}
	lfsfranz.Mark(record, lfs.MarkOptions{Algorithm: line.Algorithm, ContentType: line.ContentType, Verify: line.Expected})
	limit := int32(max(1<<20, len(value)+1<<20))
	client, err := kgo.NewClient(
		kgo.SeedBrokers(line.Bootstrap), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchMaxBytes(limit), kgo.BrokerMaxWriteBytes(max(100<<20, limit+1<<20)),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return failed(err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return answer{Outcome: "error", Message: err.Error()}
	}
	return answer{Outcome: "ok", Partition: &record.Partition, Offset: &record.Offset}
}

func upload(ctx context.Context, line command) answer {
	file, err := os.Open(line.File)
	if err != nil {
		return failed(err)
	}
	defer file.Close() //nolint:errcheck // is only read
	stat, err := file.Stat()
	if err != nil {
		return failed(err)
	}
	options := lfs.UploadOptions{
		Algorithm: line.Algorithm, ContentType: line.ContentType, Filename: filepath.Base(line.File), Length: stat.Size(),
	}
	uploader, err := lfs.NewUploader(line.URL)
	if err != nil {
		return failed(err)
	}
	if line.Expected {
		if options.Checksum, err = line.Algorithm.Sum(file); err != nil {
			return failed(err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return failed(err)
		}
	}
	record, err := uploader.Upload(ctx, line.Topic, file, options)
	if err != nil {
		return failed(err)
	}
	return answer{Outcome: "ok", Partition: &record.Partition, Offset: &record.Offset}
}

// failed names an error as all SDKs do.
func failed(err error) answer {
	var named interface{ Name() string }
	if errors.As(err, &named) {
		return answer{Outcome: named.Name(), Message: err.Error()}
	}
	return answer{Outcome: "error", Message: err.Error()}
}
