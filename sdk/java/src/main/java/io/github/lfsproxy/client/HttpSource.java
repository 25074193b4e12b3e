package io.github.lfsproxy.client;

import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.Map;

/** What the sources that need no signature do alike. */
final class HttpSource implements AutoCloseable {
  private final Http http;

  HttpSource(Duration connectTimeout, Duration readTimeout) {
    http = new Http(connectTimeout, readTimeout, null);
  }

  BlobAnswer get(URI uri, Map<String, String> headers) throws IOException, InterruptedException {
    Http.Answer answer = http.get(uri, headers);
    int status = answer.head.statusCode();
    if (status != 200 && status != 206) {
      String type = answer.head.headers().firstValue("Content-Type").orElse("");
      return BlobAnswer.refused(status, type, answer.body);
    }
    return BlobAnswer.bytes(
        status,
        answer.head.headers().firstValueAsLong("Content-Length").orElse(-1),
        answer.head.headers().firstValue("ETag").orElse(null),
        answer.body);
  }

  @Override
  public void close() {
    http.close();
  }
}
