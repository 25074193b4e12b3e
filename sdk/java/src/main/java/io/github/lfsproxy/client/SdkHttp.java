package io.github.lfsproxy.client;

import java.io.IOException;
import java.net.http.HttpRequest;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import software.amazon.awssdk.http.AbortableInputStream;
import software.amazon.awssdk.http.ExecutableHttpRequest;
import software.amazon.awssdk.http.HttpExecuteRequest;
import software.amazon.awssdk.http.HttpExecuteResponse;
import software.amazon.awssdk.http.SdkHttpClient;
import software.amazon.awssdk.http.SdkHttpFullResponse;

/** The AWS SDK's GETs by {@link Http}, as its own clients do not notice an interrupt. */
final class SdkHttp implements SdkHttpClient {
  /** Set by the JDK's client itself, which refuses them. */
  private static final Set<String> OWN = Set.of("host", "content-length", "connection", "expect");

  private final Http http;

  SdkHttp(Http http) {
    this.http = http;
  }

  @Override
  public ExecutableHttpRequest prepareRequest(HttpExecuteRequest asked) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(asked.httpRequest().getUri())
            .timeout(http.patience())
            .method(asked.httpRequest().method().name(), HttpRequest.BodyPublishers.noBody());
    asked
        .httpRequest()
        .forEachHeader(
            (name, values) -> {
              if (!OWN.contains(name.toLowerCase(Locale.ROOT))) {
                values.forEach(value -> request.header(name, value));
              }
            });
    return new Call(http, request.build());
  }

  @Override
  public String clientName() {
    return "Jdk";
  }

  @Override
  public void close() {
    http.close();
  }

  /** One GET. */
  private static final class Call implements ExecutableHttpRequest {
    private final Http http;
    private final HttpRequest request;
    private final AtomicReference<HttpBody> body = new AtomicReference<>();

    Call(Http http, HttpRequest request) {
      this.http = http;
      this.request = request;
    }

    @Override
    public HttpExecuteResponse call() throws IOException {
      Http.Answer answer;
      try {
        answer = http.send(request);
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
        throw new IOException("interrupted", error);
      }
      body.set(answer.body);
      return HttpExecuteResponse.builder()
          .response(
              SdkHttpFullResponse.builder()
                  .statusCode(answer.head.statusCode())
                  .headers(answer.head.headers().map())
                  .build())
          .responseBody(AbortableInputStream.create(answer.body, answer.body::close))
          .build();
    }

    @Override
    public void abort() {
      HttpBody open = body.get();
      if (open != null) {
        open.abandon("aborted");
      }
    }
  }
}
