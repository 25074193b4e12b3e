package io.github.lfsproxy.client;

import java.io.FilterInputStream;
import java.io.IOException;
import java.net.URI;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/** Reads from S3: each GET is sent once, with nothing decoded and nothing verified on the way. */
final class S3Source implements BlobSource {
  private final S3Client s3;
  private final AwsCredentialsProvider credentials;
  private final Runnable onClose;

  private S3Source(S3Client s3, AwsCredentialsProvider credentials, Runnable onClose) {
    this.s3 = s3;
    this.credentials = credentials;
    this.onClose = onClose;
  }

  /** By the caller's own client, which is not closed. */
  static S3Source of(S3Client s3) {
    return new S3Source(s3, null, () -> {});
  }

  /**
   * By a client of these options.
   *
   * @param endpoint null or empty: AWS
   * @param given where credentials come from; null: the AWS SDK's usual places
   */
  static S3Source of(
      String endpoint, String region, boolean pathStyle, AwsCredentialsProvider given, Http http) {
    DefaultCredentialsProvider usual =
        given == null ? DefaultCredentialsProvider.builder().build() : null;
    AwsCredentialsProvider credentials = given == null ? usual : given;
    S3ClientBuilder builder =
        S3Client.builder()
            .httpClient(new SdkHttp(http))
            .credentialsProvider(credentials)
            .region(Region.of(region))
            .forcePathStyle(pathStyle)
            .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
            .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
            .overrideConfiguration(
                override -> override.retryStrategy(AwsRetryStrategy.doNotRetry()));
    if (endpoint != null && !endpoint.isEmpty()) {
      builder.endpointOverride(URI.create(endpoint));
    }
    S3Client s3 = builder.build();
    return new S3Source(
        s3,
        credentials,
        () -> {
          s3.close();
          http.close();
          if (usual != null) {
            usual.close();
          }
        });
  }

  @Override
  public BlobAnswer get(BlobRequest request) throws IOException {
    checkCredentials();
    GetObjectRequest.Builder asked =
        GetObjectRequest.builder()
            .bucket(request.envelope().bucket())
            .key(request.envelope().key())
            .ifMatch(request.etag().orElse(null))
            .overrideConfiguration(own -> own.putHeader("Accept-Encoding", "identity"));
    if (request.first() > 0) {
      asked.range("bytes=" + request.first() + "-");
    }
    try {
      ResponseInputStream<GetObjectResponse> opened = s3.getObject(asked.build());
      GetObjectResponse head = opened.response();
      Long length = head.contentLength();
      return BlobAnswer.bytes(
          head.sdkHttpResponse().statusCode(),
          length == null ? -1 : length,
          head.eTag(),
          new Body(opened));
    } catch (AwsServiceException error) {
      String code = error.awsErrorDetails() == null ? null : error.awsErrorDetails().errorCode();
      return BlobAnswer.refused(error.statusCode(), code == null ? "" : code);
    } catch (SdkClientException error) {
      if (causedByTransport(error)) {
        throw new IOException(error.getMessage(), error);
      }
      throw new StoreRefusedException("the blob cannot be asked for: " + error.getMessage(), error);
    }
  }

  private void checkCredentials() throws IOException {
    if (credentials != null) {
      try {
        credentials.resolveCredentials();
      } catch (SdkClientException error) {
        if (Thread.currentThread().isInterrupted()) {
          throw new IOException("interrupted", error); // The reader looks at the flag.
        }
        throw new StoreRefusedException(
            "no S3 credentials were found: " + error.getMessage(), error);
      }
    }
  }

  private static boolean causedByTransport(Throwable error) {
    if (Thread.currentThread().isInterrupted()) {
      return true; // The reader looks at the flag.
    }
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof IOException) {
        return true;
      }
    }
    return false;
  }

  @Override
  public void close() {
    onClose.run();
  }

  /** The bytes; what the AWS SDK throws of its own is an IOException here. */
  private static final class Body extends FilterInputStream {
    private final ResponseInputStream<GetObjectResponse> answer;
    private boolean ended;

    Body(ResponseInputStream<GetObjectResponse> answer) {
      super(answer);
      this.answer = answer;
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
      try {
        int count = answer.read(target, offset, length);
        ended = count < 0;
        return count;
      } catch (SdkClientException error) {
        throw new IOException(error.getMessage(), error);
      }
    }

    /** What is left of the answer is not read. */
    @Override
    public void close() throws IOException {
      if (ended) {
        answer.close();
      } else {
        answer.abort();
      }
    }
  }
}
