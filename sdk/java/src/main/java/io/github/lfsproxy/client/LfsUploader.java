package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Uploads files to the proxy over HTTP: each becomes a blob and a record in one operation. Streams;
 * may be shared by threads. An upload is sent once: see {@link UploadException} for what to do
 * about one that failed.
 */
public final class LfsUploader {
  private static final int CREATED = 201;

  private final String base;
  private final String apiKey;
  private final Duration stallTimeout;
  private final HttpClient http;

  private LfsUploader(Builder options) {
    base = options.url.replaceAll("/+$", "") + "/v1/topics/";
    apiKey = options.apiKey;
    stallTimeout = options.stallTimeout;
    http =
        options.http != null
            ? options.http
            : HttpClient.newBuilder().connectTimeout(options.connectTimeout).build();
  }

  /** An uploader to the proxy at that URL, as http://localhost:8080. */
  public static Builder builder(String url) {
    return new Builder(url);
  }

  /** Uploads a file; its name goes along. Throws as the other does. */
  public UploadedRecord upload(String topic, Path file, UploadOptions options) throws IOException {
    Path name = file.getFileName();
    UploadOptions named =
        options.hasFilename() || name == null ? options : options.filename(name.toString());
    try (InputStream in = Files.newInputStream(file)) {
      return upload(topic, in, Files.size(file), named);
    }
  }

  /**
   * Uploads what a stream gives, which is not closed.
   *
   * @param length how many bytes are sent; -1: as many as come
   * @throws UploadException where the proxy refuses it, or does not answer
   * @throws IOException where the stream cannot be read, or ends before {@code length} bytes;
   *     nothing was published
   */
  public UploadedRecord upload(String topic, InputStream in, long length, UploadOptions options)
      throws IOException {
    UploadBody body = new UploadBody(in, length, options.onProgress());
    HttpRequest request = request(topic, options, publisher(body, length));
    return published(send(request, body));
  }

  private HttpRequest request(String topic, UploadOptions options, BodyPublisher publisher) {
    URI uri = URI.create(base + UploadOptions.encode(topic) + "/records" + options.query());
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri)
            .version(HttpClient.Version.HTTP_1_1)
            .header("Content-Type", "application/octet-stream")
            .header("Accept", "application/json, application/problem+json")
            .POST(publisher);
    if (apiKey != null) {
      request.header("Authorization", "Bearer " + apiKey);
    }
    return request.build();
  }

  private static BodyPublisher publisher(InputStream body, long length) {
    if (length == 0) {
      return BodyPublishers.noBody();
    }
    BodyPublisher stream = BodyPublishers.ofInputStream(() -> body);
    return length < 0 ? stream : BodyPublishers.fromPublisher(stream, length);
  }

  private HttpResponse<byte[]> send(HttpRequest request, UploadBody body) throws IOException {
    CompletableFuture<HttpResponse<byte[]>> answer =
        http.sendAsync(request, BodyHandlers.ofByteArray());
    long patience = stallTimeout.toNanos();
    try {
      while (true) {
        long left = patience - body.idle();
        try {
          return answer.get(Math.max(0, left), TimeUnit.NANOSECONDS);
        } catch (TimeoutException error) {
          if (body.idle() >= patience) {
            throw lost(body, error);
          }
        }
      }
    } catch (ExecutionException error) {
      if (body.failure() != null) {
        throw body.failure();
      }
      throw lost(body, error.getCause());
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw lost(body, error);
    } finally {
      body.cancel();
      answer.cancel(true);
    }
  }

  private static UploadException lost(UploadBody body, Throwable cause) {
    return body.ended()
        ? UploadException.outcomeUnknown(cause)
        : UploadException.proxyUnavailable(cause);
  }

  private static UploadedRecord published(HttpResponse<byte[]> response) {
    Optional<Map<String, Object>> answer = Json.object(response.body());
    int status = response.statusCode();
    if (status != CREATED) {
      throw refused(response, answer.orElse(Map.of()));
    }
    try {
      return new UploadedRecord(answer.orElse(Map.of()));
    } catch (ClassCastException | ArithmeticException | InvalidEnvelopeException error) {
      throw UploadException.unreadable(status, error);
    }
  }

  private static UploadException refused(
      HttpResponse<byte[]> response, Map<String, Object> problem) {
    int status = response.statusCode();
    Object type = problem.get("type");
    if (!(type instanceof String)) {
      return UploadException.unnamed(status, retryAfter(response));
    }
    String name = ((String) type).substring(((String) type).lastIndexOf('/') + 1);
    Object detail = problem.getOrDefault("detail", problem.getOrDefault("title", name));
    return UploadException.problem(name, String.valueOf(detail), status, retryAfter(response));
  }

  private static Duration retryAfter(HttpResponse<byte[]> response) {
    return response
        .headers()
        .firstValue("Retry-After")
        .filter(text -> text.matches("[0-9]{1,9}"))
        .map(text -> Duration.ofSeconds(Long.parseLong(text)))
        .orElse(null);
  }

  /** The options of an uploader. */
  public static final class Builder {
    private final String url;
    private String apiKey;
    private HttpClient http;
    private Duration connectTimeout = Duration.ofSeconds(5);
    private Duration stallTimeout = Duration.ofMinutes(15);

    private Builder(String url) {
      this.url = url;
    }

    /** Sent as a bearer token, where the proxy asks for one. */
    public Builder apiKey(String key) {
      apiKey = key;
      return this;
    }

    /** How long to wait for a connection. Default 5 s. */
    public Builder connectTimeout(Duration timeout) {
      connectTimeout = timeout;
      return this;
    }

    /** How long nothing may move, the wait for the answer included. Default 15 minutes. */
    public Builder stallTimeout(Duration timeout) {
      stallTimeout = timeout;
      return this;
    }

    /** An HTTP client of your own, for TLS or an HTTP proxy; its connect timeout counts. */
    public Builder httpClient(HttpClient client) {
      http = client;
      return this;
    }

    /** The uploader. */
    public LfsUploader build() {
      return new LfsUploader(this);
    }
  }
}
