package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LfsReaderTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final String PATH = TestReader.BUCKET + "/" + KEY;
  private static final int MIB = 1024 * 1024;
  private static final int TRIES = 5;

  private FakeS3 s3;
  private final List<Resolution> resolutions = Collections.synchronizedList(new ArrayList<>());
  private final List<Duration> pauses = new ArrayList<>();

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private LfsReaderBuilder builder() {
    return TestReader.builder(s3).onResolve(resolutions::add).sleeper(pauses::add);
  }

  private byte[] stored(Blob blob) {
    s3.blobs.put(PATH, blob);
    return blob.envelope(TestReader.BUCKET, KEY);
  }

  private List<String> results() {
    return resolutions.stream().map(Resolution::result).collect(Collectors.toList());
  }

  private static byte[] bytes(Blob blob) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    blob.write(bytes, 0, blob.length);
    return bytes.toByteArray();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "lfs//a//b.bin",
        "lfs/plus+and space",
        "lfs/100%25 done%2Fno",
        "lfs/ä☃\uD83D\uDE00.bin",
        "lfs/a?b=c&d#e;f:g@h,i'j(k)l*m!n$o=p[q]r{s}t|u^v`w~x<y>",
        "lfs/trailing/",
        "lfs/..x/...",
      })
  void keyIsSentByteForByte(String key) {
    Blob blob = Blob.of("hello");
    s3.blobs.put(TestReader.BUCKET + "/" + key, blob);
    try (LfsReader reader = builder().build()) {
      assertArrayEquals(blob.pattern, reader.fetch(blob.envelope(TestReader.BUCKET, key)));
    }
    assertFalse(s3.requests.get(0).target.contains("//") != key.contains("//"));
  }

  @Test
  void keyWithLeadingSlashesIsSentByteForByte() {
    Blob blob = Blob.of("hello");
    s3.blobs.put(TestReader.BUCKET + "//" + "/k.bin", blob);
    try (LfsReader reader = builder().prefixes("/").build()) {
      assertArrayEquals(blob.pattern, reader.fetch(blob.envelope(TestReader.BUCKET, "//k.bin")));
    }
    assertEquals("/kafscale///k.bin", s3.requests.get(0).target.split("\\?")[0]);
  }

  @Test
  void keyWithHalfOfSurrogatePairIsInvalid() {
    byte[] value = Blob.of("hello").envelope(TestReader.BUCKET, "lfs/\\ud800");
    InvalidEnvelopeException error =
        assertThrows(InvalidEnvelopeException.class, () -> Envelope.parse(value));
    assertEquals("invalid-envelope", error.name());
  }

  @Test
  void encodedObjectIsNotDecoded() throws IOException {
    ByteArrayOutputStream zipped = new ByteArrayOutputStream();
    try (GZIPOutputStream out = new GZIPOutputStream(zipped)) {
      out.write(new byte[10_000]);
    }
    byte[] value = stored(Blob.of(zipped.toByteArray()).encoding("gzip"));
    try (LfsReader reader = builder().build()) {
      assertArrayEquals(zipped.toByteArray(), reader.fetch(value));
    }
    assertEquals("identity", s3.requests.get(0).header("accept-encoding"));
    assertNull(s3.requests.get(0).header("x-amz-checksum-mode"));
  }

  @Test
  void droppedConnectionIsTakenUpWhereItStopped() throws IOException {
    Blob blob = Blob.large(3 * MIB + 5);
    byte[] value = stored(blob);
    s3.script.add(s3.cutAfter(MIB + 1));
    s3.script.add(s3.cutAfter(MIB));
    try (LfsReader reader = builder().build()) {
      assertArrayEquals(bytes(blob), TestReader.readAll(reader.open(value)));
    }
    assertEquals(3, s3.requests.size());
    assertNull(s3.requests.get(0).header("range"));
    assertEquals("bytes=" + (MIB + 1) + "-", s3.requests.get(1).header("range"));
    assertEquals("bytes=" + (2 * MIB + 1) + "-", s3.requests.get(2).header("range"));
    assertEquals("\"one\"", s3.requests.get(2).header("if-match"));
    assertEquals(List.of("ok"), results());
  }

  @Test
  void triesAreCountedFromTheLastProgress() throws IOException {
    Blob blob = Blob.large(MIB);
    byte[] value = stored(blob);
    for (int round = 0; round < 3; round++) {
      s3.script.add(s3.cutAfter(1000));
      for (int failure = 2; failure < TRIES; failure++) {
        s3.script.add(s3.cutAfter(0));
      }
    }
    try (LfsReader reader = builder().build()) {
      assertArrayEquals(bytes(blob), reader.fetch(value));
    }
    assertEquals(3 * (TRIES - 1), pauses.size());
  }

  @Test
  void storeThatNeverGoesOnIsUnavailable() throws IOException {
    byte[] value = stored(Blob.large(MIB));
    s3.script.add(s3.cutAfter(1000));
    for (int failure = 1; failure < TRIES; failure++) {
      s3.script.add(FakeS3.error(503, "SlowDown"));
    }
    try (LfsReader reader = builder().build();
        InputStream stream = reader.open(value).stream()) {
      byte[] some = new byte[1000];
      assertEquals(1000, stream.readNBytes(some, 0, 1000));
      StoreUnavailableException error = assertThrows(StoreUnavailableException.class, stream::read);
      assertTrue(error.retriable());
      assertSame(error, assertThrows(StoreUnavailableException.class, stream::read));
    }
    assertEquals(List.of("store-unavailable"), results());
    assertEquals(1000, resolutions.get(0).size());
    assertEquals(TRIES - 1, pauses.size());
    assertTrue(pauses.get(3).compareTo(Duration.ofMillis(800)) >= 0, pauses.toString());
  }

  @Test
  void nobodyListeningIsUnavailable() throws IOException {
    byte[] value = stored(Blob.of("hello"));
    s3.close();
    try (LfsReader reader = builder().build()) {
      assertThrows(StoreUnavailableException.class, () -> reader.fetch(value));
    }
  }

  @Test
  void silentStoreIsUnavailable() {
    byte[] value = stored(Blob.of("hello"));
    for (int failure = 0; failure < TRIES; failure++) {
      s3.script.add((request, out) -> true);
    }
    try (LfsReader reader = builder().readTimeout(Duration.ofMillis(50)).build()) {
      assertThrows(StoreUnavailableException.class, () -> reader.fetch(value));
    }
  }

  @Test
  void errorThatMayPassIsTriedAgain() {
    byte[] value = stored(Blob.of("hello"));
    s3.script.add(FakeS3.error(500, "InternalError"));
    s3.script.add(FakeS3.error(429, "TooManyRequests"));
    try (LfsReader reader = builder().build()) {
      assertArrayEquals("hello".getBytes(StandardCharsets.UTF_8), reader.fetch(value));
    }
    assertEquals(3, s3.requests.size());
  }

  @Test
  void objectThatChangedIsNotReadOn() {
    Blob blob = Blob.large(MIB);
    byte[] value = stored(blob);
    s3.script.add(s3.cutAfter(1000));
    s3.script.add(
        (request, out) -> {
          s3.blobs.put(PATH, blob.etag("\"two\""));
          return s3.store(request, out);
        });
    try (LfsReader reader = builder().build()) {
      LfsException error = assertThrows(StoreUnavailableException.class, () -> reader.fetch(value));
      assertTrue(error.getMessage().contains("412"), error.getMessage());
    }
  }

  @Test
  void storeThatIgnoresTheRangeIsNotReadOn() {
    byte[] value = stored(Blob.of("hello world"));
    s3.script.add(s3.cutAfter(5));
    s3.script.add(
        (request, out) -> {
          request.headers.remove("range");
          return s3.store(request, out);
        });
    try (LfsReader reader = builder().build()) {
      assertThrows(StoreUnavailableException.class, () -> reader.fetch(value));
    }
  }

  @Test
  void refusalNamesTheCode() {
    byte[] value = stored(Blob.of("hello"));
    s3.script.add(FakeS3.error(403, "AccessDenied"));
    s3.script.add(FakeS3.error(404, "NoSuchBucket"));
    try (LfsReader reader = builder().build()) {
      for (String code : List.of("403 AccessDenied", "404 NoSuchBucket")) {
        LfsException error = assertThrows(StoreRefusedException.class, () -> reader.fetch(value));
        assertEquals("store-refused", error.name());
        assertTrue(error.getMessage().contains(code), error.getMessage());
      }
    }
  }

  @Test
  void missingCredentialsAreARefusal() {
    byte[] value = stored(Blob.of("hello"));
    LfsReaderBuilder builder =
        builder()
            .credentials(
                () -> {
                  throw software.amazon.awssdk.core.exception.SdkClientException.create("none");
                });
    try (LfsReader reader = builder.build()) {
      assertThrows(StoreRefusedException.class, () -> reader.fetch(value));
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void lastBytesOfWrongBlobAreWithheld() throws IOException {
    Blob right = Blob.large(MIB);
    byte[] value = right.envelope(TestReader.BUCKET, KEY);
    byte[] wrong = bytes(right);
    wrong[0] ^= 1;
    s3.blobs.put(PATH, Blob.of(wrong));
    try (LfsReader reader = builder().build();
        InputStream stream = reader.open(value).stream()) {
      byte[] target = new byte[MIB];
      long received = 0;
      LfsException error = null;
      while (error == null) {
        try {
          int count = stream.read(target);
          assertTrue(count > 0, "the end of a wrong blob looks like an end");
          received += count;
        } catch (ChecksumMismatchException mismatch) {
          error = mismatch;
        }
      }
      assertEquals("checksum-mismatch", error.name());
      assertTrue(received < MIB, "all bytes of a wrong blob were handed out");
      assertThrows(ChecksumMismatchException.class, stream::read);
    }
    assertEquals(List.of("checksum-mismatch"), results());
  }

  @Test
  void blobOfUnknownLengthIsVerifiedToo() {
    byte[] right = stored(Blob.of("hello"));
    byte[] longer = Blob.of("hello").envelope(TestReader.BUCKET, KEY);
    try (LfsReader reader = builder().build()) {
      s3.script.add(s3.withoutLength());
      assertArrayEquals("hello".getBytes(StandardCharsets.UTF_8), reader.fetch(right));
      for (String wrong : List.of("hell", "hello!")) {
        s3.blobs.put(PATH, Blob.of(wrong));
        s3.script.add(s3.withoutLength());
        assertThrows(BlobTruncatedException.class, () -> reader.fetch(longer));
      }
    }
  }

  @Test
  void closeBeforeTheEndIsNeitherSuccessNorFailure() throws IOException {
    byte[] value = stored(Blob.large(64L * MIB));
    try (LfsReader reader = builder().build()) {
      InputStream stream = reader.open(value).stream();
      stream.read();
      stream.close();
      stream.close();
      assertEquals(List.of("closed"), results());
      assertTrue(resolutions.get(0).error().isEmpty());
      assertThrows(IOException.class, stream::read);
    }
  }

  @Test
  void hookIsToldEnvelopeBytesSecondsAndResult() {
    byte[] value = stored(Blob.of("hello"));
    try (LfsReader reader = builder().build()) {
      reader.fetch("ordinary".getBytes(StandardCharsets.UTF_8));
      assertTrue(resolutions.isEmpty());
      reader.fetch(value);
    }
    Resolution done = resolutions.get(0);
    assertEquals("ok", done.result());
    assertEquals(5, done.size());
    assertEquals(KEY, done.envelope().key());
    assertTrue(done.seconds() > 0);
  }

  @Test
  void hookThatFailsDoesNotFailTheRead() {
    byte[] value = stored(Blob.of("hello"));
    LfsReaderBuilder builder =
        builder()
            .onResolve(
                done -> {
                  throw new IllegalStateException("the hook is broken");
                });
    try (LfsReader reader = builder.build()) {
      assertEquals(5, reader.fetch(value).length);
    }
  }

  @Test
  void missingBlobIsRaisedSkippedOrLeft() {
    byte[] value = Blob.of("hello").envelope(TestReader.BUCKET, KEY);
    try (LfsReader reader = builder().build()) {
      assertThrows(BlobMissingException.class, () -> reader.fetch(value));
      assertThrows(BlobMissingException.class, () -> reader.open(value));
    }
    try (LfsReader reader = builder().onMissing(OnMissing.SKIP).build()) {
      Resolved resolved = reader.resolve(value);
      assertNull(resolved.value());
      assertTrue(resolved.missing());
      assertTrue(resolved.envelope().isPresent());
      try (LfsBlob blob = reader.open(value)) {
        assertNull(blob.stream());
        assertTrue(blob.missing());
        assertTrue(blob.envelope().isPresent());
      }
      try (LfsBlob tombstone = reader.open(null)) {
        assertNull(tombstone.stream());
        assertFalse(tombstone.missing());
      }
    }
    try (LfsReader reader = builder().onMissing(OnMissing.ENVELOPE).build()) {
      assertSame(value, reader.resolve(value).value());
      assertArrayEquals(value, TestReader.readAll(reader.open(value)));
    }
    assertEquals(Collections.nCopies(6, "blob-missing"), results());
  }

  @Test
  void nothingIsFetchedOfWhatIsTooLargeOrNotAllowed() {
    byte[] value = stored(Blob.of("hello"));
    try (LfsReader reader = builder().maxSize(4).build()) {
      assertThrows(TooLargeException.class, () -> reader.open(value));
    }
    try (LfsReader reader = builder().buckets(List.of("other")).build()) {
      assertThrows(EnvelopeNotAllowedException.class, () -> reader.fetch(value));
    }
    try (LfsReader reader = builder().prefixes("lfs/default/other/").build()) {
      assertThrows(EnvelopeNotAllowedException.class, () -> reader.fetch(value));
    }
    assertTrue(s3.requests.isEmpty());
    assertEquals(List.of("too-large", "envelope-not-allowed", "envelope-not-allowed"), results());
  }

  @Test
  void moreThanAnArrayHoldsIsTooLargeForResolve() {
    byte[] value =
        new String(Blob.of("hello").envelope(TestReader.BUCKET, KEY), StandardCharsets.UTF_8)
            .replace(":5,", ":3000000000,")
            .getBytes(StandardCharsets.UTF_8);
    try (LfsReader reader = builder().build()) {
      LfsException error = assertThrows(TooLargeException.class, () -> reader.fetch(value));
      assertTrue(error.getMessage().contains("stream"), error.getMessage());
    }
  }

  @Test
  void largeBlobIsStreamedInLittleMemory() throws IOException {
    assertTrue(Runtime.getRuntime().maxMemory() < 128L * MIB, "start this test with -Xmx96m");
    byte[] value = stored(Blob.large(256L * MIB));
    long received = 0;
    try (LfsReader reader = builder().build();
        InputStream stream = reader.open(value).stream()) {
      byte[] chunk = new byte[64 * 1024];
      for (int count = stream.read(chunk); count >= 0; count = stream.read(chunk)) {
        received += count;
      }
    }
    assertEquals(256L * MIB, received);
    assertEquals(List.of("ok"), results());
  }

  @Test
  void readerIsSharedByThreads() {
    Blob blob = Blob.large(MIB);
    byte[] value = stored(blob);
    try (LfsReader reader = builder().build()) {
      long right =
          IntStream.range(0, 32)
              .parallel()
              .filter(number -> reader.fetch(value).length == MIB)
              .count();
      assertEquals(32, right);
    }
    assertEquals(Collections.nCopies(32, "ok"), results());
  }

  @Test
  void environmentIsTheProxysOwn() {
    byte[] value = stored(Blob.of("hello"));
    LfsReaderBuilder builder =
        builder()
            .environment(
                Map.of(
                    "LFS_S3_BUCKET",
                    TestReader.BUCKET,
                    "LFS_S3_ENDPOINT",
                    s3.endpoint(),
                    "LFS_S3_REGION",
                    "eu-west-3",
                    "LFS_S3_PATH_STYLE",
                    "yes"));
    try (LfsReader reader = builder.build()) {
      assertEquals(5, reader.fetch(value).length);
    }
    assertTrue(s3.requests.get(0).header("authorization").contains("/eu-west-3/s3/"));
  }

  @Test
  void badEnvironmentNamesTheVariable() {
    IllegalArgumentException error =
        assertInstanceOf(
            IllegalArgumentException.class,
            assertThrows(
                RuntimeException.class,
                () -> LfsReader.fromEnvironment(Map.of("LFS_S3_PATH_STYLE", "maybe"))));
    assertTrue(error.getMessage().contains("LFS_S3_PATH_STYLE is maybe"), error.getMessage());
  }

  @Test
  void endpointThatCannotBeUsedIsRefusedByName() {
    for (String wrong :
        List.of(
            "here", "localhost:9000", "ftp://x", "http://", "http://x/p", "http://x?q", "no url")) {
      IllegalArgumentException given =
          assertThrows(
              IllegalArgumentException.class, () -> builder().endpoint(wrong).build(), wrong);
      assertTrue(given.getMessage().startsWith("endpoint is " + wrong), given.getMessage());
      Map<String, String> environment = Map.of("LFS_S3_ENDPOINT", wrong);
      IllegalArgumentException error =
          assertThrows(
              IllegalArgumentException.class, () -> LfsReader.fromEnvironment(environment), wrong);
      assertTrue(error.getMessage().startsWith("LFS_S3_ENDPOINT is " + wrong), error.getMessage());
    }
  }
}
