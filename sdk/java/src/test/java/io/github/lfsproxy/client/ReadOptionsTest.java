package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Limits, retries, progress, the hook, and where the reader finds its settings. */
class ReadOptionsTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final int MIB = 1024 * 1024;

  private final List<Resolution> resolutions = new ArrayList<>();
  private FakeS3 s3;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private LfsReaderBuilder builder() {
    return TestReader.builder(s3).onResolve(resolutions::add);
  }

  private byte[] stored(Blob blob) {
    s3.blobs.put(TestReader.BUCKET + "/" + KEY, blob);
    return blob.envelope(TestReader.BUCKET, KEY);
  }

  private static byte[] ofLength(long length) {
    return new String(Blob.of("hello").envelope(TestReader.BUCKET, KEY), StandardCharsets.UTF_8)
        .replace(":5,", ":" + length + ",")
        .getBytes(StandardCharsets.UTF_8);
  }

  @Test
  void wholeReadsHaveADefaultLimitAndStreamsHaveNone() throws IOException {
    byte[] large = stored(Blob.large(256L * MIB + 1));
    try (LfsReader reader = builder().build()) {
      TooLargeException error = assertThrows(TooLargeException.class, () -> reader.fetch(large));
      assertTrue(error.getMessage().contains("maxSize"), error.getMessage());
      assertTrue(error.getMessage().contains("stream"), error.getMessage());
      assertTrue(error.getMessage().contains("268435456"), error.getMessage());
      assertTrue(s3.requests.isEmpty());
      try (LfsBlob blob = reader.open(large)) {
        assertTrue(blob.stream().read() >= 0);
      }
    }
  }

  @Test
  void zeroIsNoLimitForBoth() {
    byte[] large = ofLength(300L * MIB);
    stored(Blob.of("hello"));
    try (LfsReader reader = builder().maxSize(0).build()) {
      assertThrows(BlobTruncatedException.class, () -> reader.fetch(large));
      assertThrows(BlobTruncatedException.class, () -> reader.open(large));
    }
  }

  @Test
  void settingThatCannotBeIsRefusedByName() {
    Map<String, Runnable> wrong =
        Map.of(
            "tries", () -> builder().tries(0),
            "pause", () -> builder().pause(Duration.ofMillis(-1)),
            "retryTime", () -> builder().retryTime(Duration.ofMillis(-1)),
            "maxSize", () -> builder().maxSize(-1),
            "connectTimeout", () -> builder().connectTimeout(Duration.ZERO),
            "readTimeout", () -> builder().readTimeout(Duration.ofSeconds(-5)),
            "bucket", () -> LfsReader.builder().build());
    wrong.forEach(
        (name, call) -> {
          IllegalArgumentException error =
              assertThrows(IllegalArgumentException.class, call::run, name);
          assertTrue(error.getMessage().startsWith(name), error.getMessage());
        });
  }

  @Test
  void noTryBeginsAfterTheRetryTime() {
    byte[] value = stored(Blob.large(MIB));
    s3.script.add(s3.cutAfter(1000));
    for (int failure = 0; failure < 20; failure++) {
      s3.script.add(FakeS3.error(503, "SlowDown"));
    }
    long[] clock = {0};
    Sleeper sleeper =
        new Sleeper() {
          @Override
          public void sleep(Duration time) {
            clock[0] += time.toNanos();
          }

          @Override
          public long nanoTime() {
            return clock[0];
          }
        };
    LfsReaderBuilder builder =
        builder()
            .sleeper(sleeper)
            .tries(20)
            .pause(Duration.ofMillis(800))
            .retryTime(Duration.ofSeconds(2));
    try (LfsReader reader = builder.build()) {
      assertThrows(StoreUnavailableException.class, () -> reader.fetch(value));
    }
    assertTrue(clock[0] <= 2_000_000_000L, "a try began late");
    // Pauses of 0.4 to 0.8 s, then of 0.8 to 1.6 s.
    int tries = resolutions.get(0).tries();
    assertTrue(tries >= 2 && tries <= 4, tries + " tries");
  }

  @Test
  void firstPauseIsTheOneThatWasSet() {
    byte[] value = stored(Blob.of("hello"));
    List<Duration> pauses = new ArrayList<>();
    for (int failure = 0; failure < 2; failure++) {
      s3.script.add(FakeS3.error(503, "SlowDown"));
    }
    LfsReaderBuilder builder = builder().sleeper(pauses::add).tries(3).pause(Duration.ofSeconds(4));
    try (LfsReader reader = builder.build()) {
      assertEquals(5, reader.fetch(value).length);
    }
    assertTrue(pauses.get(0).toMillis() >= 2000 && pauses.get(0).toMillis() <= 4000);
    assertTrue(pauses.get(1).toMillis() >= 2500 && pauses.get(1).toMillis() <= 5000);
    assertEquals(3, resolutions.get(0).tries());
  }

  @Test
  void pauseThatIsLongerThanTheLongestIsKept() {
    byte[] value = stored(Blob.of("hello"));
    List<Duration> pauses = new ArrayList<>();
    for (int failure = 0; failure < 2; failure++) {
      s3.script.add(FakeS3.error(503, "SlowDown"));
    }
    LfsReaderBuilder builder =
        builder().sleeper(pauses::add).tries(3).pause(Duration.ofSeconds(20));
    try (LfsReader reader = builder.build()) {
      assertEquals(5, reader.fetch(value).length);
    }
    for (Duration pause : pauses) {
      assertTrue(pause.toMillis() >= 10_000 && pause.toMillis() <= 20_000, pause + " is paused");
    }
  }

  @Test
  void progressIsToldUpToTheWholeLength() throws IOException {
    byte[] value = stored(Blob.large(MIB));
    try (LfsReader reader = builder().build()) {
      for (boolean whole : List.of(true, false)) {
        s3.script.add(s3.cutAfter(300_000));
        List<Long> told = new ArrayList<>();
        ReadOptions options = ReadOptions.none().onProgress(told::add);
        if (whole) {
          reader.resolve(value, options);
        } else {
          TestReader.readAll(reader.open(value, options));
        }
        List<Long> sorted = new ArrayList<>(told);
        Collections.sort(sorted);
        assertEquals(sorted, told);
        assertEquals(MIB, told.get(told.size() - 1));
        assertTrue(told.size() > 2);
      }
    }
  }

  @Test
  void progressThatThrowsBreaksTheReadOff() {
    byte[] value = stored(Blob.large(MIB));
    ReadOptions options =
        ReadOptions.none()
            .onProgress(
                bytes -> {
                  throw new IllegalStateException("enough");
                });
    try (LfsReader reader = builder().build();
        LfsBlob blob = reader.open(value, options)) {
      assertThrows(IllegalStateException.class, () -> blob.stream().readAllBytes());
      assertThrows(ReadInterruptedException.class, () -> blob.stream().read());
    }
    assertEquals("read-interrupted", resolutions.get(0).result());
  }

  @Test
  void hookIsToldTriesAndRecord() {
    byte[] value = stored(Blob.of("hello"));
    s3.script.add(FakeS3.error(503, "SlowDown"));
    RecordCoordinates place = RecordCoordinates.of("t", 3, 7);
    try (LfsReader reader = builder().build()) {
      reader.resolve(value, ReadOptions.none().record(place));
      reader.resolve(value);
    }
    assertEquals(2, resolutions.get(0).tries());
    assertEquals(Optional.of(place), resolutions.get(0).record());
    assertEquals("t-3@7", resolutions.get(0).record().orElseThrow().toString());
    assertEquals(1, resolutions.get(1).tries());
    assertTrue(resolutions.get(1).record().isEmpty());
  }

  @Test
  void errorOfTheHookIsLoggedToo() {
    byte[] value = stored(Blob.of("hello"));
    LfsReaderBuilder builder =
        builder()
            .onResolve(
                done -> {
                  throw new NoClassDefFoundError("the metrics' library");
                });
    try (LfsReader reader = builder.build()) {
      assertEquals(5, reader.fetch(value).length);
    }
  }

  @Test
  void retriableErrorsAreThoseThatMayPass() {
    assertTrue(new StoreUnavailableException("", null).retriable());
    assertTrue(new ReadInterruptedException("", null, false).retriable());
    for (LfsException error :
        List.of(
            new InvalidEnvelopeException(""),
            new UnsupportedEnvelopeException(""),
            new EnvelopeNotAllowedException(""),
            new TooLargeException(""),
            new BlobMissingException(""),
            new BlobTruncatedException(""),
            new ChecksumMismatchException(""),
            new StoreRefusedException("", null))) {
      assertFalse(error.retriable(), error.name());
    }
  }

  @Test
  void regionIsFoundWhereTheAwsToolsFindIt() {
    byte[] value = stored(Blob.of("hello"));
    Map<String, Map<String, String>> all =
        Map.of(
            "eu-a", Map.of("LFS_S3_REGION", "eu-a", "AWS_REGION", "eu-b"),
            "eu-b", Map.of("LFS_S3_REGION", "", "AWS_REGION", "eu-b", "AWS_DEFAULT_REGION", "eu-c"),
            "eu-c", Map.of("AWS_REGION", "", "AWS_DEFAULT_REGION", "eu-c"),
            "us-east-1", Map.of("AWS_DEFAULT_REGION", ""));
    all.forEach(
        (region, variables) -> {
          s3.requests.clear();
          LfsReaderBuilder builder =
              builder().environment(variables).endpoint(s3.endpoint()).pathStyle(true);
          try (LfsReader reader = builder.build()) {
            assertEquals(5, reader.fetch(value).length);
          }
          String signed = s3.requests.get(0).header("authorization");
          assertTrue(signed.contains("/" + region + "/s3/"), signed);
        });
  }
}
