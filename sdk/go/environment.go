package lfs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Option changes a Config that was read from the environment.
type Option func(*Config)

// ConfigFromEnvironment reads the proxy's own variables: LFS_S3_BUCKET (default kafscale), LFS_S3_ENDPOINT,
// LFS_S3_REGION (else AWS_REGION, AWS_DEFAULT_REGION, DefaultRegion), LFS_S3_PATH_STYLE and LFS_S3_CA. One that
// is empty is not set. The error names the variable that cannot be used.
func ConfigFromEnvironment() (Config, error) {
	config := Config{
		Bucket:   or(os.Getenv("LFS_S3_BUCKET"), "kafscale"),
		Endpoint: os.Getenv("LFS_S3_ENDPOINT"),
		Region:   firstSet("LFS_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
		CA:       os.Getenv("LFS_S3_CA"),
	}
	config.Region = or(config.Region, DefaultRegion)
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
	if _, err := certificates(config.CA, config.Endpoint); err != nil {
		return Config{}, fmt.Errorf("lfs: LFS_S3_CA %w", err)
	}
	return config, nil
}

func firstSet(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
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

// newStore is the AWS SDK's client.
func newStore(ctx context.Context, config Config) (*s3.Client, error) {
	dialer := func(d *net.Dialer) { d.Timeout = config.ConnectTimeout }
	usual := awshttp.NewBuildableClient().WithDialerOptions(dialer)
	loading := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(config.Region)}
	if config.HTTPClient != nil {
		loading = append(loading, awsconfig.WithHTTPClient(config.HTTPClient))
	} else {
		loading = append(loading, awsconfig.WithHTTPClient(usual))
	}
	if config.Credentials != nil {
		loading = append(loading, awsconfig.WithCredentialsProvider(config.Credentials))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, loading...)
	if err != nil {
		return nil, fmt.Errorf("lfs: the AWS configuration cannot be used: %w", err)
	}
	trusted, err := certificates(config.CA, config.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("lfs: Config.CA %w", err)
	}
	return s3.NewFromConfig(loaded, func(o *s3.Options) {
		if config.Endpoint != "" {
			o.BaseEndpoint = aws.String(config.Endpoint)
		}
		o.UsePathStyle = config.PathStyle
		if trusted != nil && config.HTTPClient == nil {
			// For the store alone: where credentials come from is not signed by its authority.
			o.HTTPClient = usual.WithTransportOptions(func(t *http.Transport) {
				if t.TLSClientConfig == nil {
					t.TLSClientConfig = &tls.Config{}
				}
				t.TLSClientConfig.RootCAs = trusted
			})
		}
	}), nil
}

// certificates reads a file of PEM certificates; nil where none is named, or none is needed.
func certificates(file, endpoint string) (*x509.CertPool, error) {
	if file == "" || strings.HasPrefix(strings.ToLower(endpoint), "http:") {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	pool := x509.NewCertPool()
	if err == nil && !pool.AppendCertsFromPEM(text) {
		err = errors.New("no certificate is in it")
	}
	if err != nil {
		return nil, fmt.Errorf("is %q, not usable as PEM certificates: %w", file, err)
	}
	return pool, nil
}
