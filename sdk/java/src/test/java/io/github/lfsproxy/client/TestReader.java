package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
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

  static byte[] readAll(InputStream stream) {
    if (stream == null) {
      return null;
    }
    try (stream) {
      return stream.readAllBytes();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
