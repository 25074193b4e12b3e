package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class LfsUploaderTest {
  private static final byte[] HELLO = "hello".getBytes(StandardCharsets.UTF_8);
  private static final String CREATED =
      "{\"topic\":\"t\",\"partition\":2,\"offset\":7,\"timestamp\":1700000000000,\"envelope\":"
          + new String(Blob.of("hello").envelope("kafscale", "lfs/k"), StandardCharsets.UTF_8)
          + "}";

  @TempDir private Path folder;
  private HttpServer server;
  private FakeS3 raw;
  private HttpExchange seen;
  private byte[] body;
  private int status = 201;
  private String answer = CREATED;

  @BeforeEach
  void start() throws IOException {
    raw = new FakeS3();
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/",
        exchange -> {
          seen = exchange;
          body = exchange.getRequestBody().readAllBytes();
          byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
          exchange.getResponseHeaders().add("Retry-After", "3");
          exchange.sendResponseHeaders(status, bytes.length);
          exchange.getResponseBody().write(bytes);
          exchange.close();
        });
    server.start();
  }

  @AfterEach
  void stop() throws IOException {
    server.stop(0);
    raw.close();
  }

  private String url() {
    return "http://127.0.0.1:" + server.getAddress().getPort();
  }

  private LfsUploader uploader() {
    return LfsUploader.builder(url()).build();
  }

  private static InputStream hello() {
    return new ByteArrayInputStream(HELLO);
  }

  @Test
  void fileIsUploadedWithNameAndChecksum() throws IOException {
    Path file = Files.write(folder.resolve("a b+é&.png"), HELLO);
    UploadOptions options =
        UploadOptions.none()
            .contentType("image/png")
            .key("k")
            .partition(2)
            .header("a", "b:c")
            .timestamp(5)
            .checksum(ChecksumAlgorithm.MD5, ChecksumAlgorithm.MD5.hex(file));
    UploadedRecord record =
        LfsUploader.builder(url() + "/base/").apiKey("secret").build().upload("t", file, options);
    assertArrayEquals(HELLO, body);
    assertEquals(
        "/base/v1/topics/t/records?checksum=5d41402abc4b2a76b9719d911017c592&checksum_algo=md5"
            + "&content_type=image%2Fpng&key_base64=aw&partition=2&timestamp=5&header=a%3Ab%3Ac"
            + "&header=lfs-filename%3Aa%20b%2B%C3%A9%26.png",
        seen.getRequestURI().toString());
    assertEquals("Bearer secret", seen.getRequestHeaders().getFirst("Authorization"));
    assertEquals("5", seen.getRequestHeaders().getFirst("Content-Length"));
    assertEquals(2, record.partition());
    assertEquals(7, record.offset());
    assertEquals(1700000000000L, record.timestamp());
    assertEquals("lfs/k", record.envelope().key());
  }

  @Test
  void laterOptionReplacesEarlierOne() {
    UploadOptions options =
        UploadOptions.none()
            .checksum(ChecksumAlgorithm.MD5, ChecksumAlgorithm.MD5.hex(HELLO))
            .checksumAlgorithm(ChecksumAlgorithm.CRC32)
            .filename("a")
            .filename("b");
    assertEquals("?checksum_algo=crc32&header=lfs-filename%3Ab", options.query());
  }

  @Test
  void streamOfUnknownLengthIsChunked() throws IOException {
    uploader().upload("t", hello(), -1, UploadOptions.none());
    assertArrayEquals(HELLO, body);
    assertEquals("chunked", seen.getRequestHeaders().getFirst("Transfer-Encoding"));
    assertEquals("/v1/topics/t/records", seen.getRequestURI().toString());
    assertNull(seen.getRequestHeaders().getFirst("Authorization"));
  }

  @Test
  void emptyFileIsUploaded() throws IOException {
    uploader().upload("t", Files.createFile(folder.resolve("empty")), UploadOptions.none());
    assertEquals(0, body.length);
    assertEquals("0", seen.getRequestHeaders().getFirst("Content-Length"));
  }

  @Test
  void largeUploadIsStreamedInLittleMemory() throws IOException {
    long length = 256L * 1024 * 1024;
    raw.script.add(
        (request, out) -> {
          byte[] chunk = new byte[64 * 1024];
          for (long left = length; left > 0; ) {
            left -= request.body.read(chunk, 0, (int) Math.min(left, chunk.length));
          }
          return reply(out, CREATED);
        });
    UploadedRecord record =
        LfsUploader.builder(raw.endpoint())
            .build()
            .upload("t", new Zeros(length), length, UploadOptions.none());
    assertEquals(7, record.offset());
  }

  private static boolean reply(java.io.OutputStream out, String text) throws IOException {
    String head = "HTTP/1.1 201 Created\r\nContent-Length: " + text.length() + "\r\n\r\n";
    out.write((head + text).getBytes(StandardCharsets.US_ASCII));
    return true;
  }

  @Test
  void problemIsNamedByItsType() {
    status = 503;
    answer = "{\"type\":\"/problems/store-unavailable\",\"title\":\"T\",\"detail\":\"S3 is away\"}";
    UploadException error =
        assertThrows(
            UploadException.class, () -> uploader().upload("t", hello(), 5, UploadOptions.none()));
    assertEquals("store-unavailable", error.name());
    assertEquals("S3 is away", error.getMessage());
    assertEquals(503, error.status());
    assertEquals(Optional.of(Duration.ofSeconds(3)), error.retryAfter());
    assertTrue(error.retriable());
  }

  @Test
  void otherAnswersAreUnexpected() {
    status = 502;
    answer = "<html>Bad gateway</html>";
    UploadException gateway =
        assertThrows(
            UploadException.class, () -> uploader().upload("t", hello(), 5, UploadOptions.none()));
    assertEquals("unexpected-answer", gateway.name());
    status = 201;
    for (String odd :
        new String[] {"{}", "", CREATED.replace("\"offset\":7", "\"offset\":\"7\"")}) {
      answer = odd;
      UploadException error =
          assertThrows(
              UploadException.class,
              () -> uploader().upload("t", hello(), 5, UploadOptions.none()));
      assertEquals("outcome-unknown", error.name(), odd);
      assertEquals(201, error.status());
      assertFalse(error.retriable());
    }
  }

  @Test
  void answersOfGatewaysSayWhetherTheRecordMayBePublished() {
    answer = "<html>not the proxy</html>";
    Map<Integer, String> all =
        Map.of(
            503, "proxy-unavailable true",
            504, "outcome-unknown false",
            429, "unexpected-answer true",
            502, "unexpected-answer false");
    all.forEach(
        (code, expected) -> {
          status = code;
          UploadException error =
              assertThrows(
                  UploadException.class,
                  () -> uploader().upload("t", hello(), 5, UploadOptions.none()));
          assertEquals(expected, error.name() + " " + error.retriable(), code.toString());
        });
  }

  @Test
  void progressIsToldUpToTheWholeLength() throws IOException {
    for (long length : new long[] {300_000, -1}) {
      List<Long> told = Collections.synchronizedList(new ArrayList<>());
      uploader()
          .upload("t", new Zeros(300_000), length, UploadOptions.none().onProgress(told::add));
      assertEquals(300_000, told.get(told.size() - 1));
      List<Long> sorted = new ArrayList<>(told);
      Collections.sort(sorted);
      assertEquals(sorted, told);
    }
  }

  @Test
  void progressThatFailsPublishesNothing() {
    IllegalStateException broken = new IllegalStateException("broken");
    UploadOptions options =
        UploadOptions.none()
            .onProgress(
                bytes -> {
                  throw broken;
                });
    IOException error =
        assertThrows(IOException.class, () -> uploader().upload("t", hello(), 5, options));
    assertEquals(broken, error.getCause());
    assertNull(body);
  }

  @Test
  void refusalsThatPassAreRetriable() {
    answer = "{\"type\":\"/problems/p\",\"detail\":\"d\"}";
    Map<Integer, Boolean> all = Map.of(408, true, 429, true, 503, true, 400, false, 504, false);
    all.forEach(
        (code, retriable) -> {
          status = code;
          UploadException error =
              assertThrows(
                  UploadException.class,
                  () -> uploader().upload("t", hello(), 5, UploadOptions.none()));
          assertEquals(retriable, error.retriable(), code.toString());
        });
  }

  @Test
  void noMoreIsReadThanTheLength() throws IOException {
    InputStream endless = new Zeros(Long.MAX_VALUE);
    uploader().upload("t", endless, 5, UploadOptions.none());
    assertArrayEquals(new byte[5], body);
  }

  @Test
  void lastByteOfTheLengthMayBeEnoughForTheProxy() {
    raw.script.add(
        (request, out) -> {
          request.body.readNBytes(5);
          return false;
        });
    UploadException error =
        assertThrows(
            UploadException.class,
            () ->
                LfsUploader.builder(raw.endpoint())
                    .build()
                    .upload("t", new Zeros(1000), 5, UploadOptions.none()));
    assertEquals("outcome-unknown", error.name());
  }

  @Test
  void bodyThatEndsBeforeItsLengthIsTheCallersOwnError() {
    assertThrows(
        EOFException.class, () -> uploader().upload("t", hello(), 6, UploadOptions.none()));
  }

  @Test
  void checksumThatIsNoneIsRefused() {
    for (String wrong : new String[] {"", "00", "z".repeat(32)}) {
      assertThrows(
          IllegalArgumentException.class,
          () -> UploadOptions.none().checksum(ChecksumAlgorithm.MD5, wrong));
    }
  }

  @Test
  void nobodyListeningPublishesNothing() {
    String url = url();
    server.stop(0);
    UploadException error =
        assertThrows(
            UploadException.class,
            () -> LfsUploader.builder(url).build().upload("t", hello(), 5, UploadOptions.none()));
    assertEquals("proxy-unavailable", error.name());
    assertTrue(error.retriable());
  }

  @Test
  void connectionLostAfterTheLastByteLeavesTheOutcomeUnknown() {
    raw.script.add(
        (request, out) -> {
          request.body.readNBytes(5);
          return false;
        });
    UploadException error =
        assertThrows(
            UploadException.class,
            () ->
                LfsUploader.builder(raw.endpoint())
                    .build()
                    .upload("t", hello(), 5, UploadOptions.none()));
    assertEquals("outcome-unknown", error.name());
    assertFalse(error.retriable());
    assertEquals(1, raw.requests.size());
  }

  @Test
  void connectionLostInTheMiddlePublishesNothing() {
    raw.script.add(
        (request, out) -> {
          request.body.readNBytes(5);
          return false;
        });
    UploadException error =
        assertThrows(
            UploadException.class,
            () ->
                LfsUploader.builder(raw.endpoint())
                    .build()
                    .upload("t", new Zeros(1L << 40), 1L << 40, UploadOptions.none()));
    assertEquals("proxy-unavailable", error.name());
    assertEquals(1, raw.requests.size());
  }

  @Test
  void proxyThatSaysNothingIsGivenUp() {
    raw.script.add((request, out) -> true);
    LfsUploader uploader =
        LfsUploader.builder(raw.endpoint()).stallTimeout(Duration.ofMillis(200)).build();
    UploadException error =
        assertThrows(
            UploadException.class, () -> uploader.upload("t", hello(), 5, UploadOptions.none()));
    assertEquals("outcome-unknown", error.name());
  }

  @Test
  void streamThatCannotBeReadIsTheCallersOwnError() {
    IOException broken = new IOException("the disk is broken");
    InputStream in =
        new InputStream() {
          @Override
          public int read() throws IOException {
            throw broken;
          }
        };
    IOException error =
        assertThrows(IOException.class, () -> uploader().upload("t", in, 5, UploadOptions.none()));
    assertEquals(broken, error);
  }

  /** A stream of so many zeros. */
  private static final class Zeros extends InputStream {
    long left;

    Zeros(long length) {
      left = length;
    }

    @Override
    public int read() {
      return left-- > 0 ? 0 : -1;
    }

    @Override
    public int read(byte[] target, int offset, int length) {
      int count = (int) Math.min(left, length);
      left -= count;
      return count == 0 ? -1 : count;
    }
  }
}
