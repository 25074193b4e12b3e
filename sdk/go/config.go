package lfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
)

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

	// Buckets that envelopes may point to. Nil: Bucket alone.
	Buckets []string
	// Prefixes of the keys that envelopes may point to. Nil: DefaultPrefix alone.
	// The narrowest for one topic is lfs/{namespace}/{topic}/.
	Prefixes []string
	// MaxSize is the most bytes that a blob may have, looked at before it is fetched. 0: unlimited.
	MaxSize int64

	// OnMissing says what becomes of an envelope without its blob.
	OnMissing OnMissing
	// OnResolve is called after every envelope, in the goroutine that reads.
	OnResolve func(Resolution)

	// ConnectTimeout is how long a connection may take; 0: DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// ReadTimeout is how long the store may be silent; 0: DefaultReadTimeout. There is no limit to the
	// time of a whole blob: that is the context's.
	ReadTimeout time.Duration

	// Credentials for the store. Nil: the AWS SDK's usual chain.
	Credentials aws.CredentialsProvider
	// HTTPClient sends the requests. Nil: one with ConnectTimeout, which trusts AWS_CA_BUNDLE too.
	HTTPClient aws.HTTPClient
}

// Option changes a Config that was read from the environment.
type Option func(*Config)

// ConfigFromEnvironment reads the proxy's own variables: LFS_S3_BUCKET (default kafscale), LFS_S3_ENDPOINT,
// LFS_S3_REGION and LFS_S3_PATH_STYLE. The error names the variable that cannot be used.
func ConfigFromEnvironment() (Config, error) {
	config := Config{
		Bucket:   or(os.Getenv("LFS_S3_BUCKET"), "kafscale"),
		Endpoint: os.Getenv("LFS_S3_ENDPOINT"),
		Region:   or(os.Getenv("LFS_S3_REGION"), DefaultRegion),
	}
	switch style := or(os.Getenv("LFS_S3_PATH_STYLE"), "false"); strings.ToLower(strings.TrimSpace(style)) {
	case "true", "yes", "on", "1":
		config.PathStyle = true
	case "false", "no", "off", "0":
	default:
		return Config{}, fmt.Errorf("lfs: LFS_S3_PATH_STYLE is %q, true or false is needed", style)
	}
	if err := checkStore(config.Endpoint); err != nil {
		return Config{}, fmt.Errorf("lfs: LFS_S3_ENDPOINT %w", err)
	}
	return config, nil
}

// FromEnvironment is a client by [ConfigFromEnvironment]; options win. Credentials and AWS_CA_BUNDLE are the
// AWS SDK's usual variables.
func FromEnvironment(ctx context.Context, options ...Option) (*Client, error) {
	config, err := ConfigFromEnvironment()
	if err != nil {
		return nil, err
	}
	for _, option := range options {
		option(&config)
	}
	return New(ctx, config)
}

// New is a client of the store that config names. Nothing is sent yet. A client may be shared by goroutines.
func New(ctx context.Context, config Config) (*Client, error) {
	if config.Bucket == "" {
		return nil, errors.New("lfs: Config.Bucket is empty")
	}
	if config.OnMissing < Raise || config.OnMissing > KeepEnvelope {
		return nil, fmt.Errorf("lfs: Config.OnMissing is %d, one of Raise, Skip, KeepEnvelope is needed", config.OnMissing)
	}
	if config.MaxSize < 0 {
		return nil, fmt.Errorf("lfs: Config.MaxSize is %d, 0 or more is needed", config.MaxSize)
	}
	if err := checkStore(config.Endpoint); err != nil {
		return nil, fmt.Errorf("lfs: Config.Endpoint %w", err)
	}
	config.Region = or(config.Region, DefaultRegion)
	config.ConnectTimeout = or(config.ConnectTimeout, DefaultConnectTimeout)
	config.ReadTimeout = or(config.ReadTimeout, DefaultReadTimeout)
	if config.Buckets == nil {
		config.Buckets = []string{config.Bucket}
	}
	if config.Prefixes == nil {
		config.Prefixes = []string{DefaultPrefix}
	}
	store, err := newStore(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Client{config: config, store: store, pause: sleep}, nil
}

// newStore is the AWS SDK's client, with all of its own trying again, checking and unpacking put off: the
// verifying reader does that, for all stores alike.
func newStore(ctx context.Context, config Config) (*s3.Client, error) {
	loading := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(config.Region)}
	if config.HTTPClient != nil {
		loading = append(loading, awsconfig.WithHTTPClient(config.HTTPClient))
	} else {
		dialer := func(d *net.Dialer) { d.Timeout = config.ConnectTimeout }
		loading = append(loading, awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithDialerOptions(dialer)))
	}
	if config.Credentials != nil {
		loading = append(loading, awsconfig.WithCredentialsProvider(config.Credentials))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, loading...)
	if err != nil {
		return nil, fmt.Errorf("lfs: the AWS configuration cannot be used: %w", err)
	}
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		if config.Endpoint != "" {
			o.BaseEndpoint = aws.String(config.Endpoint)
		}
		o.UsePathStyle = config.PathStyle
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 0
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		if !aws.IsCredentialsProvider(o.Credentials, (*aws.AnonymousCredentials)(nil)) {
			o.Credentials = namedCredentials{o.Credentials}
		}
	}), nil
}

// namedCredentials tells a failure to find credentials from one of the store.
type namedCredentials struct{ aws.CredentialsProvider }

type credentialsError struct{ error }

func (e credentialsError) Unwrap() error { return e.error }

func (c namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return found, credentialsError{err}
	}
	return found, nil
}

// checkStore refuses what the proxy refuses, too: a store is at the root of its URL.
func checkStore(endpoint string) error {
	if err := checkEndpoint(endpoint); err != nil {
		return err
	}
	if parsed, err := url.Parse(endpoint); err != nil || strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.User != nil {
		return fmt.Errorf("is %q, a URL without a path, query or user name is needed", endpoint)
	}
	return nil
}

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return fmt.Errorf("is %q, an http or https URL is needed", endpoint)
	}
	return nil
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
