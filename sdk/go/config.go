package lfs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// OnMissing says what becomes of an envelope whose blob is not in the store.
type OnMissing int

const (
	// Raise fails with ErrBlobMissing.
	Raise OnMissing = iota
	// Skip gives no bytes, and Info.Missing.
	Skip
	// KeepEnvelope gives the envelope's own bytes, and Info.Missing.
	KeepEnvelope
)

// Defaults of [Config].
const (
	DefaultRegion         = "us-east-1"
	DefaultPrefix         = "lfs/"
	DefaultConnectTimeout = 5 * time.Second
	DefaultReadTimeout    = 60 * time.Second
	DefaultTries          = 5
	DefaultPause          = 200 * time.Millisecond
	// DefaultMaxFetch is the most bytes that a blob may have which is held in memory: 256 MiB.
	DefaultMaxFetch = 256 << 20
)

// Unlimited as MaxSize of [Config]: blobs may have any size, whole ones too.
const Unlimited = -1

// Config says where the blobs are and which envelopes to follow. Only Bucket is needed.
type Config struct {
	// Bucket holds the blobs.
	Bucket string
	// Endpoint is the URL of an S3-compatible store. Empty: AWS.
	Endpoint string
	// Region of the bucket; DefaultRegion where empty.
	Region string
	// PathStyle puts the bucket in the path, not in the host name.
	PathStyle bool
	// CA is a file of PEM certificates: a store at an https URL is trusted by these alone. Empty: those of the
	// system, and of AWS_CA_BUNDLE. It does not hold with an HTTPClient or Source of your own.
	CA string

	// Buckets that envelopes may point to. Nil: Bucket alone.
	Buckets []string
	// Prefixes of the keys that envelopes may point to. Nil: DefaultPrefix alone.
	// The narrowest for one topic is lfs/{namespace}/{topic}/.
	Prefixes []string
	// MaxSize is the most bytes that a blob may have, looked at before it is fetched. 0: DefaultMaxFetch for
	// what is held in memory, no limit for streams. Another value holds for both; Unlimited is no limit for both.
	MaxSize int64

	// OnMissing says what becomes of an envelope without its blob.
	OnMissing OnMissing
	// OnResolve is called after every envelope, in the goroutine that reads, with the context of the read. A
	// panic of it is logged (log/slog), and goes no further.
	OnResolve func(context.Context, Resolution)

	// Tries is how many GETs in a row may come without one byte of progress; 0: DefaultTries.
	Tries int
	// Pause is how long to wait before the second try; 0: DefaultPause. It doubles with each, up to 5 s, and up
	// to half of it is left out at random.
	Pause time.Duration
	// RetryTime is how long after the last progress another try may begin; 0: no limit.
	RetryTime time.Duration
	// ConnectTimeout is how long a connection may take; 0: DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// ReadTimeout is how long the store may be silent; 0: DefaultReadTimeout. There is no limit to the
	// time of a whole blob: that is the context's.
	ReadTimeout time.Duration

	// Credentials for the store: static ones, with a session token or without (credentials of the AWS SDK), or
	// a provider of your own. Nil: the AWS SDK's usual chain.
	Credentials aws.CredentialsProvider
	// HTTPClient sends the requests. Nil: one with ConnectTimeout, which trusts CA or AWS_CA_BUNDLE.
	HTTPClient aws.HTTPClient
	// Source gives the blobs in place of a store by the fields above: [S3Source] with an S3 client of your own,
	// [ProxySource], [PresignedSource], or another. Nil: S3.
	Source Source
}

// New is a client of the store that config names. Nothing is sent yet. A client may be shared by goroutines.
func New(ctx context.Context, config Config) (*Client, error) {
	byRecord, _ := config.Source.(interface{ ByRecord() bool })
	checksPlace := byRecord == nil || !byRecord.ByRecord() || config.Bucket != "" || config.Buckets != nil
	if checksPlace && config.Bucket == "" && (config.Source == nil || config.Buckets == nil) {
		return nil, errors.New("lfs: Config.Bucket is empty")
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	config.Region = or(config.Region, DefaultRegion)
	config.ConnectTimeout = or(config.ConnectTimeout, DefaultConnectTimeout)
	config.ReadTimeout = or(config.ReadTimeout, DefaultReadTimeout)
	config.Tries = or(config.Tries, DefaultTries)
	config.Pause = or(config.Pause, DefaultPause)
	if config.Buckets == nil {
		config.Buckets = []string{config.Bucket}
	}
	if config.Prefixes == nil {
		config.Prefixes = []string{DefaultPrefix}
	}
	if config.Source == nil {
		store, err := newStore(ctx, config)
		if err != nil {
			return nil, err
		}
		config.Source = S3Source(store)
	}
	return &Client{config: config, source: config.Source, checksPlace: checksPlace, pause: sleep}, nil
}

// check refuses values that cannot be meant, by the name of their field.
func (c *Config) check() error {
	if c.OnMissing < Raise || c.OnMissing > KeepEnvelope {
		return fmt.Errorf("lfs: Config.OnMissing is %d, one of Raise, Skip, KeepEnvelope is needed", c.OnMissing)
	}
	if c.MaxSize < Unlimited {
		return fmt.Errorf("lfs: Config.MaxSize is %d, 0 or more, or Unlimited (-1), is needed", c.MaxSize)
	}
	if c.Tries < 0 {
		return fmt.Errorf("lfs: Config.Tries is %d, 0 or more is needed", c.Tries)
	}
	for name, duration := range map[string]time.Duration{
		"Pause": c.Pause, "RetryTime": c.RetryTime, "ConnectTimeout": c.ConnectTimeout, "ReadTimeout": c.ReadTimeout,
	} {
		if duration < 0 || duration > longestDuration {
			return fmt.Errorf("lfs: Config.%s is %s, 0 to %s is needed", name, duration, longestDuration)
		}
	}
	if err := checkStore(c.Endpoint); err != nil {
		return fmt.Errorf("lfs: Config.Endpoint %w", err)
	}
	if _, err := certificates(c.CA, c.Endpoint); err != nil {
		return fmt.Errorf("lfs: Config.CA %w", err)
	}
	return nil
}

// longestDuration leaves room for doubling and adding up.
const longestDuration = time.Duration(math.MaxInt64 >> 20)

// checkStore refuses what the proxy refuses, too: a store is at the root of its URL.
func checkStore(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	parsed, err := url.Parse(endpoint)
	if err != nil || checkHTTP(endpoint) != nil || strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.User != nil {
		return fmt.Errorf("is %q, an http or https URL without a path, query or user name is needed", withoutPassword(endpoint))
	}
	return nil
}

func checkHTTP(address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return errors.New("is no http or https URL")
	}
	return nil
}

// withoutPassword is for messages: what stands before an @ may be a secret.
func withoutPassword(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return "...@" + address[at+1:]
	}
	return address
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
