package io.github.lfsproxy.client;

import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.Map;

/**
 * Reads by the proxy's download route, for where there is no way to S3. Needs the record's
 * coordinates: {@link ReadOptions#record}, which the helpers of the package kafka give.
 *
 * <pre>{@code
 * LfsReader.builder().source(new ProxySource("http://localhost:8080", key))
 * }</pre>
 */
public final class ProxySource implements BlobSource {
  private final String base;
  private final String apiKey;
  private final HttpSource http;

  /**
   * With the reader's default timeouts: 5 s for a connection, 60 s of silence.
   *
   * @param url the proxy's, with its base path where it has one
   * @param apiKey null: none
   */
  public ProxySource(String url, String apiKey) {
    this(url, apiKey, Duration.ofSeconds(5), Duration.ofSeconds(60));
  }

  /** With these timeouts: for a connection, and how long the proxy may send nothing. */
  public ProxySource(String url, String apiKey, Duration connectTimeout, Duration readTimeout) {
    base = url.replaceAll("/+$", "") + "/v1/topics/";
    this.apiKey = apiKey;
    http = new HttpSource(connectTimeout, readTimeout);
  }

  @Override
  public boolean byRecord() {
    return true;
  }

  @Override
  public BlobAnswer get(BlobRequest request) throws IOException, InterruptedException {
    RecordCoordinates record =
        request
            .record()
            .filter(RecordCoordinates::complete)
            .orElseThrow(
                () ->
                    new StoreRefusedException(
                        "the proxy finds a blob by its record: give topic, partition and offset",
                        null));
    String path =
        String.format(
            "%s/partitions/%d/records/%d",
            UploadOptions.encode(record.topic()), record.partition(), record.offset());
    // Another blob is a 200 for If-Range, which is not read on.
    Map<String, String> headers = request.headers("If-Range");
    if (apiKey != null) {
      headers.put("Authorization", "Bearer " + apiKey);
    }
    return http.get(URI.create(base + path), headers);
  }

  @Override
  public void close() {
    http.close();
  }
}
