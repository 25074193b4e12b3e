package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.UncheckedIOException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;

/** Readers of the fake store, which do not wait between tries. */
final class TestReader {
  static final String BUCKET = "kafscale";

  private TestReader() {}

  static LfsReaderBuilder builder(FakeS3 s3) {
    return LfsReader.builder()
        .bucket(BUCKET)
        .endpoint(s3.endpoint())
        .pathStyle(true)
        .credentials(StaticCredentialsProvider.create(AwsBasicCredentials.create("id", "secret")))
        .sleeper(time -> {});
  }

  static byte[] readAll(LfsBlob blob) {
    try (blob) {
      return blob.stream() == null ? null : blob.stream().readAllBytes();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
