package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Reads that are broken off in their middle: no later read takes that for the end. */
class BrokenOffTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final Blob BLOB = Blob.large(1024 * 1024);

  private final List<Resolution> resolutions = new ArrayList<>();
  private FakeS3 s3;
  private byte[] value;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put(TestReader.BUCKET + "/" + KEY, BLOB);
    value = BLOB.envelope(TestReader.BUCKET, KEY);
  }

  @AfterEach
  void stop() throws IOException {
    Thread.interrupted();
    s3.close();
  }

  private List<String> results() {
    return resolutions.stream().map(Resolution::result).collect(Collectors.toList());
  }

  @Test
  void interruptedThreadReachesNoFalseEnd() throws IOException {
    ByteArrayOutputStream right = new ByteArrayOutputStream();
    BLOB.write(right, 0, BLOB.length);
    Random random = new Random(1);
    for (int round = 0; round < 30; round++) {
      resolutions.clear();
      s3.script.clear();
      if (round % 2 == 0) {
        s3.script.add(s3.cutAfter(random.nextInt((int) BLOB.length)));
      }
      LfsReaderBuilder builder =
          TestReader.builder(s3).onResolve(resolutions::add).sleeper(time -> Thread.sleep(0));
      try (LfsReader reader = builder.build();
          InputStream stream = reader.open(value).stream()) {
        ByteArrayOutputStream received = new ByteArrayOutputStream();
        int failures = 0;
        boolean ended = false;
        byte[] target = new byte[100_000];
        while (!ended && failures < 3) {
          if (random.nextInt(6) == 0) {
            Thread.currentThread().interrupt();
          }
          try {
            int count = stream.read(target, 0, 1 + random.nextInt(target.length));
            ended = count < 0;
            received.write(target, 0, Math.max(count, 0));
          } catch (LfsException error) {
            failures++;
            assertEquals("read-interrupted", error.name());
          } finally {
            Thread.interrupted();
          }
        }
        byte[] got = received.toByteArray();
        assertTrue(Arrays.equals(got, Arrays.copyOf(right.toByteArray(), got.length)));
        assertEquals(ended, got.length == BLOB.length);
        assertEquals(List.of(ended ? "ok" : "cancelled"), results());
      }
    }
  }

  @Test
  void errorOutOfTheHookIsNoEnd() throws IOException {
    for (boolean whole : List.of(true, false)) {
      LfsReaderBuilder builder =
          TestReader.builder(s3)
              .onResolve(
                  done -> {
                    throw new InternalError("the hook is broken");
                  });
      try (LfsReader reader = builder.build();
          InputStream stream = reader.open(value).stream()) {
        Executable read = whole ? stream::readAllBytes : () -> readByChunks(stream);
        assertThrows(InternalError.class, read);
        for (int again = 0; again < 2; again++) {
          LfsException error = assertThrows(LfsException.class, read);
          assertEquals("read-interrupted", error.name());
          assertEquals(InternalError.class, error.getCause().getClass());
        }
      }
    }
  }

  private static void readByChunks(InputStream stream) throws IOException {
    byte[] target = new byte[100_000];
    int count = 0;
    while (count >= 0) {
      count = stream.read(target);
    }
  }

  @Test
  void copyThatItsTargetBreaksOffIsNoEnd() throws IOException {
    OutputStream full =
        new OutputStream() {
          @Override
          public void write(int one) throws IOException {
            throw new IOException("no space left");
          }
        };
    try (LfsReader reader = TestReader.builder(s3).onResolve(resolutions::add).build();
        InputStream stream = reader.open(value).stream()) {
      assertThrows(IOException.class, () -> stream.transferTo(full));
      assertThrows(LfsException.class, stream::readAllBytes);
      assertThrows(LfsException.class, stream::read);
    }
    assertEquals(List.of("read-interrupted"), results());
  }

  @Test
  void streamThatWasClosedTellsNothingMore() throws IOException {
    try (LfsReader reader = TestReader.builder(s3).onResolve(resolutions::add).build()) {
      InputStream stream = reader.open(value).stream();
      stream.close();
      assertThrows(IOException.class, stream::readAllBytes);
      assertThrows(IOException.class, () -> stream.transferTo(OutputStream.nullOutputStream()));
    }
    assertEquals(List.of("closed"), results());
  }
}
