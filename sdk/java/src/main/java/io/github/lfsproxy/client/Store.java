package io.github.lfsproxy.client;

import java.net.URI;
import java.time.Duration;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.http.SdkHttpClient;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/** How one GET is sent to S3: once, with nothing decoded and nothing verified on the way. */
final class Store implements AutoCloseable {
  private final AwsCredentialsProvider credentials;
  private final boolean ownCredentials;
  private final SdkHttpClient http;
  private final S3Client s3;

  Store(
      String endpoint,
      String region,
      boolean pathStyle,
      AwsCredentialsProvider given,
      Duration connectTimeout,
      Duration readTimeout) {
    ownCredentials = given == null;
    credentials = ownCredentials ? DefaultCredentialsProvider.builder().build() : given;
    http =
        UrlConnectionHttpClient.builder()
            .connectionTimeout(connectTimeout)
            .socketTimeout(readTimeout)
            .build();
    S3ClientBuilder builder =
        S3Client.builder()
            .httpClient(http)
            .credentialsProvider(credentials)
            .region(Region.of(region))
            .forcePathStyle(pathStyle)
            .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
            .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
            .overrideConfiguration(
                override ->
                    override
                        .retryStrategy(AwsRetryStrategy.doNotRetry())
                        .putHeader("Accept-Encoding", "identity"));
    if (endpoint != null && !endpoint.isEmpty()) {
      builder.endpointOverride(URI.create(endpoint));
    }
    s3 = builder.build();
  }

  /**
   * Sends one GET for the bytes from {@code first} on.
   *
   * @param etag the object must still have this ETag; null: any
   * @throws StoreRefusedException where no credentials are found
   */
  ResponseInputStream<GetObjectResponse> get(Envelope envelope, long first, String etag) {
    try {
      credentials.resolveCredentials();
    } catch (SdkClientException error) {
      throw new StoreRefusedException("no S3 credentials were found: " + error.getMessage(), error);
    }
    GetObjectRequest.Builder request =
        GetObjectRequest.builder().bucket(envelope.bucket()).key(envelope.key()).ifMatch(etag);
    if (first > 0) {
      request.range("bytes=" + first + "-");
    }
    return s3.getObject(request.build());
  }

  @Override
  public void close() {
    s3.close();
    http.close();
    if (ownCredentials) {
      ((DefaultCredentialsProvider) credentials).close();
    }
  }
}
