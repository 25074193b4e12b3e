package lfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// S3Client is what is needed of an S3 client. The AWS SDK's *s3.Client is one.
type S3Client interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// S3Source reads by a client of the caller's own: its endpoint, region, credentials and HTTP client. Its own
// retries and checksum validation are switched off for these calls: this package does both, for all stores alike.
func S3Source(client S3Client) Source { return s3Source{client} }

type s3Source struct{ client S3Client }

func (s s3Source) Get(ctx context.Context, request GetRequest) (GetResponse, error) {
	input := &s3.GetObjectInput{Bucket: &request.Envelope.Bucket, Key: &request.Envelope.Key}
	if request.Offset > 0 {
		input.Range = aws.String(fmt.Sprintf("bytes=%d-", request.Offset))
		if request.ETag != "" {
			input.IfMatch = &request.ETag
		}
	}
	output, err := s.client.GetObject(ctx, input, plainly)
	if err != nil {
		return GetResponse{}, s3Refusal(ctx, &request, err)
	}
	status, length := answered(output)
	if status != request.wantedStatus() {
		output.Body.Close() //nolint:errcheck // nothing is wanted from it
		return GetResponse{}, request.refusal(status, "", nil)
	}
	return GetResponse{Body: output.Body, Length: length, ETag: aws.ToString(output.ETag)}, nil
}

// plainly leaves to this package what the AWS SDK would do by itself.
func plainly(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.RetryMaxAttempts = 0
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.DisableLogOutputChecksumValidationSkipped = true
	if o.Credentials != nil && !aws.IsCredentialsProvider(o.Credentials, (*aws.AnonymousCredentials)(nil)) {
		o.Credentials = namedCredentials{o.Credentials}
	}
}

// answered gives the HTTP status, and the body's length or -1. A double of the caller's has no HTTP answer: then
// the fields of the output say it.
func answered(output *s3.GetObjectOutput) (status int, length int64) {
	if raw, ok := awsmiddleware.GetRawResponse(output.ResultMetadata).(*smithyhttp.Response); ok {
		return raw.StatusCode, raw.ContentLength
	}
	status, length = http.StatusOK, -1
	if output.ContentRange != nil {
		status = http.StatusPartialContent
	}
	if output.ContentLength != nil {
		length = *output.ContentLength
	}
	return status, length
}

// s3Refusal tells what a GET that gave no object means.
func s3Refusal(ctx context.Context, request *GetRequest, err error) error {
	var missing credentialsError
	if errors.As(err, &missing) {
		return request.failure(ErrStoreRefused, err, "no S3 credentials can be had for the blob %s: %s", request.name(), missing)
	}
	var api smithy.APIError
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var response *smithyhttp.ResponseError
	switch {
	case errors.As(err, &response) && response.Response != nil && response.HTTPStatusCode() > 0: // 0: none has come
		return request.refusal(response.HTTPStatusCode(), code, err)
	case code == "NoSuchKey" || code == "NoSuchBucket":
		return request.refusal(http.StatusNotFound, code, err)
	}
	var sending *smithyhttp.RequestSendError
	var network net.Error
	if errors.As(err, &sending) || errors.As(err, &network) || ctx.Err() != nil {
		return err
	}
	return request.failure(ErrStoreRefused, err, "the blob %s cannot be asked for: %s", request.name(), err)
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
