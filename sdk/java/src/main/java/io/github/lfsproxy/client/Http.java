package io.github.lfsproxy.client;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.net.ssl.SSLContext;

/**
 * GETs whose every phase an interrupt ends at once: connecting, the wait for the head, reading.
 * (Threads that wait in a socket's own read do not notice an interrupt; these wait beside it.)
 */
final class Http implements AutoCloseable {
  private final HttpClient.Builder options;
  private final Duration readTimeout;
  private final Set<HttpBody> open = ConcurrentHashMap.newKeySet();
  private HttpClient client;
  private volatile boolean closed;

  /** {@code tls} says whom to trust; null: whom the Java runtime trusts. */
  Http(Duration connectTimeout, Duration readTimeout, SSLContext tls) {
    this.readTimeout = readTimeout;
    options =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(connectTimeout);
    if (tls != null) {
      options.sslContext(tls);
    }
  }

  /** Made with the first GET, as it has a thread of its own. */
  private synchronized HttpClient client() {
    if (client == null) {
      client = options.build();
    }
    return client;
  }

  /** The head of an answer, and its body, which is to be closed. */
  static final class Answer {
    final HttpResponse.ResponseInfo head;
    final HttpBody body;

    Answer(HttpResponse.ResponseInfo head, HttpBody body) {
      this.head = head;
      this.body = body;
    }
  }

  /** Sends a GET, and returns when its head has come. */
  Answer get(URI uri, Map<String, String> headers) throws IOException, InterruptedException {
    HttpRequest.Builder request = HttpRequest.newBuilder(uri).timeout(patience());
    headers.forEach(request::header);
    return send(request.build());
  }

  /** Sends the request as {@link #get} does. */
  @SuppressWarnings("FutureReturnValueIgnored") // What completes it is told to the head's future.
  Answer send(HttpRequest request) throws IOException, InterruptedException {
    HttpBody body = newBody();
    CompletableFuture<HttpResponse.ResponseInfo> head = new CompletableFuture<>();
    CompletableFuture<HttpResponse<HttpBody>> exchange =
        client()
            .sendAsync(
                request,
                info -> {
                  head.complete(info);
                  return body;
                });
    exchange.whenComplete(
        (done, error) -> {
          if (error != null) { // Of a body that broke off at once, too: its head and bytes count.
            head.completeExceptionally(error);
            body.onError(error);
          }
        });
    try {
      return new Answer(head.get(patience().toNanos(), TimeUnit.NANOSECONDS), body);
    } catch (ExecutionException error) {
      body.abandon("no answer");
      throw new IOException(reason(error.getCause()), error.getCause());
    } catch (TimeoutException error) {
      body.abandon("no answer in time");
      exchange.cancel(true);
      throw new HttpTimeoutException("no answer for " + patience().toMillis() + " ms");
    } catch (InterruptedException error) {
      body.abandon("interrupted");
      exchange.cancel(true);
      throw error;
    }
  }

  /** A body that a close of this ends. */
  private HttpBody newBody() throws IOException {
    HttpBody body = new HttpBody(readTimeout, open::remove);
    open.add(body);
    if (closed) {
      open.remove(body);
      throw new IOException("the reader is closed");
    }
    return body;
  }

  /** For the head of an answer, the making of the connection included. */
  Duration patience() {
    return readTimeout;
  }

  /** A ConnectException of the JDK has no message of its own. */
  private static String reason(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause.getMessage() != null) {
        return cause.getMessage();
      }
    }
    return error instanceof java.net.ConnectException
        ? "the connection cannot be made"
        : error.getClass().getSimpleName();
  }

  /** Reads that are still going on end in an error. */
  @Override
  public void close() {
    closed = true;
    for (HttpBody body : open) {
      body.abandon("the reader is closed");
    }
  }
}
