package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsErrorDetails;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.http.AbortableInputStream;
import software.amazon.awssdk.http.SdkHttpResponse;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;

/** Where blobs may be read from besides S3 by the reader's own settings. */
class SourcesTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final Blob BLOB = Blob.large(300_000);
  private static final byte[] VALUE = BLOB.envelope(TestReader.BUCKET, KEY);
  private static final RecordCoordinates PLACE = RecordCoordinates.of("a b", 3, 7);

  private FakeS3 s3;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put(TestReader.BUCKET + "/" + KEY, BLOB);
    s3.blobs.put("v1/topics/a b/partitions/3/records/7", BLOB);
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private static byte[] bytes() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    BLOB.write(bytes, 0, BLOB.length);
    return bytes.toByteArray();
  }

  private static FakeS3.Answer problem(int status, String type) {
    return (request, out) -> {
      String body = "{\"type\":\"/problems/" + type + "\",\"detail\":\"it is so\"}";
      String head =
          "HTTP/1.1 "
              + status
              + " Error\r\nContent-Type: application/problem+json\r\nContent-Length: "
              + body.length()
              + "\r\n\r\n";
      out.write((head + body).getBytes(StandardCharsets.US_ASCII));
      return true;
    };
  }

  private LfsReaderBuilder proxied() {
    return LfsReader.builder().sleeper(time -> {}).source(new ProxySource(s3.endpoint(), "secret"));
  }

  @Test
  void proxyGivesTheBlobOfARecord() throws IOException {
    s3.script.add(s3.cutAfter(100_000));
    try (LfsReader reader = proxied().build()) {
      assertArrayEquals(bytes(), reader.resolve(VALUE, ReadOptions.none().record(PLACE)).value());
    }
    FakeS3.Request readOn = s3.requests.get(1);
    assertEquals("/v1/topics/a%20b/partitions/3/records/7", readOn.target);
    assertEquals("Bearer secret", readOn.header("authorization"));
    assertEquals("bytes=100000-", readOn.header("range"));
    assertEquals("\"one\"", readOn.header("if-range"));
    assertNull(readOn.header("if-match"));
  }

  @Test
  void proxyNeedsTheRecord() {
    try (LfsReader reader = proxied().build()) {
      for (ReadOptions options :
          List.of(
              ReadOptions.none(), ReadOptions.none().record(RecordCoordinates.ofTopic("a b")))) {
        StoreRefusedException error =
            assertThrows(StoreRefusedException.class, () -> reader.resolve(VALUE, options));
        assertTrue(error.getMessage().contains("topic, partition and offset"));
      }
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void whatTheProxySaysHasTheNamesOfTheReader() {
    Map<String, Integer> all =
        Map.of(
            "blob-missing", 404,
            "blob-truncated", 502,
            "checksum-mismatch", 502,
            "envelope-not-allowed", 403,
            "store-refused", 502);
    try (LfsReader reader = proxied().tries(1).build()) {
      all.forEach(
          (type, status) -> {
            s3.script.add(problem(status, type));
            LfsException error =
                assertThrows(
                    LfsException.class,
                    () -> reader.resolve(VALUE, ReadOptions.none().record(PLACE)));
            assertEquals(type, error.name());
            assertTrue(error.getMessage().contains("it is so"), error.getMessage());
          });
      s3.script.add(problem(404, "no-such-record"));
      assertThrows(
          StoreRefusedException.class,
          () -> reader.resolve(VALUE, ReadOptions.none().record(PLACE)));
      s3.script.add(problem(503, "store-unavailable"));
      assertThrows(
          StoreUnavailableException.class,
          () -> reader.resolve(VALUE, ReadOptions.none().record(PLACE)));
    }
  }

  @Test
  void otherBlobInPlaceOfTheRestIsNotReadOn() {
    s3.script.add(s3.cutAfter(100_000));
    s3.script.add(
        (request, out) -> {
          request.headers.remove("range");
          return s3.store(request, out);
        });
    try (LfsReader reader = proxied().build()) {
      assertThrows(
          StoreUnavailableException.class,
          () -> reader.resolve(VALUE, ReadOptions.none().record(PLACE)));
    }
  }

  @Test
  void bucketsHoldForTheProxyWhereTheyAreSet() {
    try (LfsReader reader = proxied().bucket("other").build()) {
      assertThrows(
          EnvelopeNotAllowedException.class,
          () -> reader.resolve(VALUE, ReadOptions.none().record(PLACE)));
    }
  }

  @Test
  void presignedUrlIsAskedForBeforeEachGet() throws IOException {
    List<Optional<RecordCoordinates>> asked = new ArrayList<>();
    PresignedSource source =
        new PresignedSource(
            (envelope, record) -> {
              asked.add(record);
              return URI.create(
                  s3.endpoint() + "/" + envelope.bucket() + "/" + envelope.key() + "?sig=1");
            });
    s3.script.add(s3.cutAfter(100_000));
    try (LfsReader reader =
        LfsReader.builder().bucket(TestReader.BUCKET).sleeper(time -> {}).source(source).build()) {
      assertArrayEquals(bytes(), reader.resolve(VALUE, ReadOptions.none().record(PLACE)).value());
      s3.script.add(FakeS3.error(403, "AccessDenied"));
      assertThrows(StoreRefusedException.class, () -> reader.fetch(VALUE));
      s3.blobs.clear();
      assertThrows(BlobMissingException.class, () -> reader.fetch(VALUE));
    }
    assertEquals(
        List.of(Optional.of(PLACE), Optional.of(PLACE), Optional.empty(), Optional.empty()), asked);
    assertTrue(s3.requests.get(1).target.endsWith("?sig=1"));
    assertEquals("\"one\"", s3.requests.get(1).header("if-match"));
    assertNull(s3.requests.get(1).header("authorization"));
  }

  @Test
  void redirectIsNotFollowed() {
    s3.script.add(
        (request, out) -> {
          String head =
              "HTTP/1.1 302 Found\r\nLocation: "
                  + s3.endpoint()
                  + "/kafscale/"
                  + KEY
                  + "\r\nContent-Length: 0\r\n\r\n";
          out.write(head.getBytes(StandardCharsets.US_ASCII));
          return true;
        });
    try (LfsReader reader = TestReader.builder(s3).build()) {
      assertThrows(StoreRefusedException.class, () -> reader.fetch(VALUE));
    }
    assertEquals(1, s3.requests.size());
  }

  @Test
  void sessionTokenIsSent() {
    try (LfsReader reader =
        TestReader.builder(s3)
            .credentials(
                StaticCredentialsProvider.create(
                    AwsSessionCredentials.create("id", "secret", "token")))
            .build()) {
      assertEquals(300_000, reader.fetch(VALUE).length);
    }
    assertEquals("token", s3.requests.get(0).header("x-amz-security-token"));
  }

  /** An S3 client as an application has it. */
  private static final class Client implements S3Client {
    final List<GetObjectRequest> requests = new ArrayList<>();
    RuntimeException failure;
    boolean closed;

    @Override
    public ResponseInputStream<GetObjectResponse> getObject(GetObjectRequest request) {
      requests.add(request);
      if (failure != null) {
        throw failure;
      }
      boolean first = request.range() == null;
      InputStream body = new java.io.ByteArrayInputStream(wanted(first ? 0 : 5));
      GetObjectResponse.Builder head =
          GetObjectResponse.builder().eTag("\"one\"").contentLength(first ? 11L : 6L);
      head.sdkHttpResponse(SdkHttpResponse.builder().statusCode(first ? 200 : 206).build());
      return new ResponseInputStream<>(head.build(), AbortableInputStream.create(body));
    }

    /** The first answer breaks off. */
    private byte[] wanted(int from) {
      byte[] all = "hello world".getBytes(StandardCharsets.UTF_8);
      return from == 0 ? java.util.Arrays.copyOf(all, 5) : java.util.Arrays.copyOfRange(all, 5, 11);
    }

    @Override
    public String serviceName() {
      return "s3";
    }

    @Override
    public void close() {
      closed = true;
    }
  }

  @Test
  void clientOfTheCallerIsUsedAndNotClosed() {
    Client client = new Client();
    byte[] value = Blob.of("hello world").envelope(TestReader.BUCKET, KEY);
    LfsReaderBuilder builder =
        LfsReader.builder().bucket(TestReader.BUCKET).s3Client(client).sleeper(time -> {}).tries(2);
    try (LfsReader reader = builder.build()) {
      assertEquals("hello world", new String(reader.fetch(value), StandardCharsets.UTF_8));
      assertEquals("bytes=5-", client.requests.get(1).range());
      assertEquals("\"one\"", client.requests.get(1).ifMatch());
      client.failure =
          S3Exception.builder()
              .statusCode(403)
              .awsErrorDetails(AwsErrorDetails.builder().errorCode("AccessDenied").build())
              .build();
      LfsException error = assertThrows(StoreRefusedException.class, () -> reader.fetch(value));
      assertTrue(error.getMessage().contains("403 AccessDenied"), error.getMessage());
    }
    assertFalse(client.closed);
  }

  /** A source in memory, whose reads notice no interrupt. */
  private static BlobSource inMemory(byte[] bytes, Runnable reading) {
    InputStream body =
        new ByteArrayInputStream(bytes) {
          @Override
          public synchronized int read(byte[] target, int offset, int length) {
            reading.run();
            return super.read(target, offset, length);
          }
        };
    return request -> BlobAnswer.bytes(200, bytes.length, null, body);
  }

  @Test
  void interruptEndsTheReadOfASourceThatDoesNotNoticeIt() throws IOException {
    List<Resolution> told = new ArrayList<>();
    BlobSource source = inMemory(bytes(), () -> Thread.currentThread().interrupt());
    try (LfsReader reader =
        LfsReader.builder().bucket(TestReader.BUCKET).source(source).onResolve(told::add).build()) {
      assertThrows(ReadInterruptedException.class, () -> reader.fetch(VALUE));
      assertTrue(Thread.interrupted());
    }
    assertEquals("cancelled", told.get(0).result());
  }

  @Test
  void whatASourceThrowsIsToldToTheHook() {
    List<Resolution> told = new ArrayList<>();
    BlobSource source =
        request -> {
          throw new IllegalStateException("no URL today");
        };
    try (LfsReader reader =
        LfsReader.builder().bucket(TestReader.BUCKET).source(source).onResolve(told::add).build()) {
      assertThrows(IllegalStateException.class, () -> reader.fetch(VALUE));
    }
    assertEquals(1, told.size());
    assertEquals("read-interrupted", told.get(0).result());
    assertEquals(1, told.get(0).tries());
  }
}
