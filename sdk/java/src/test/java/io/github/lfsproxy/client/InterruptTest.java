package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import software.amazon.awssdk.core.exception.AbortedException;

/** An interrupt ends a read at once in whatever it waits for; the read timeout is 60 s here. */
@Timeout(30)
class InterruptTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final Blob BLOB = Blob.large(1024 * 1024);
  private static final byte[] VALUE = BLOB.envelope(TestReader.BUCKET, KEY);

  private final List<Resolution> resolutions = new ArrayList<>();
  private final CountDownLatch waiting = new CountDownLatch(1);
  private final CountDownLatch over = new CountDownLatch(1);
  private FakeS3 s3;

  /** What is interrupted. */
  private interface Read {
    void by(LfsReader reader) throws IOException;
  }

  private static final List<Read> READS =
      List.of(
          reader -> reader.fetch(VALUE),
          reader -> {
            try (LfsBlob blob = reader.open(VALUE)) {
              blob.stream().readAllBytes();
            }
          });

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put(TestReader.BUCKET + "/" + KEY, BLOB);
  }

  @AfterEach
  void stop() throws IOException {
    over.countDown();
    s3.close();
  }

  private LfsReaderBuilder builder() {
    return TestReader.builder(s3).onResolve(resolutions::add);
  }

  private List<String> results() {
    return resolutions.stream().map(Resolution::result).collect(Collectors.toList());
  }

  /** Interrupts a thread that reads, once it waits. */
  private void interrupted(LfsReader reader, Read read) throws Exception {
    CompletableFuture<Throwable> thrown = new CompletableFuture<>();
    AtomicBoolean flag = new AtomicBoolean();
    Thread thread =
        new Thread(
            () -> {
              try {
                read.by(reader);
                thrown.complete(null);
              } catch (Throwable error) {
                flag.set(Thread.currentThread().isInterrupted());
                thrown.complete(error);
              }
            });
    thread.start();
    assertTrue(waiting.await(20, TimeUnit.SECONDS));
    Thread.sleep(50);
    thread.interrupt();
    ReadInterruptedException error =
        assertInstanceOf(
            ReadInterruptedException.class, thrown.get(10, TimeUnit.SECONDS), "not in time");
    assertEquals("read-interrupted", error.name());
    assertTrue(error.retriable());
    assertTrue(flag.get(), "the thread's flag is lost");
    assertEquals(List.of("cancelled"), results());
    resolutions.clear();
  }

  private boolean waits() {
    waiting.countDown();
    try {
      over.await();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
    return false;
  }

  @Test
  void waitForTheHead() throws Exception {
    for (Read read : READS) {
      s3.script.add((request, out) -> waits());
      try (LfsReader reader = builder().build()) {
        interrupted(reader, read);
      }
    }
  }

  @Test
  void readOfTheBytes() throws Exception {
    for (Read read : READS) {
      s3.script.add(
          (request, out) -> {
            s3.cutAfter(300_000).to(request, out);
            out.flush();
            return waits();
          });
      try (LfsReader reader = builder().build()) {
        interrupted(reader, read);
      }
    }
  }

  @Test
  void pauseBetweenTwoTries() throws Exception {
    for (Read read : READS) {
      s3.script.add(FakeS3.error(503, "SlowDown"));
      LfsReaderBuilder builder =
          builder()
              .sleeper(
                  time -> {
                    waiting.countDown();
                    Thread.sleep(60_000);
                  });
      try (LfsReader reader = builder.build()) {
        interrupted(reader, read);
      }
    }
  }

  @Test
  void connecting() throws Exception {
    List<Socket> queue = new ArrayList<>();
    try (ServerSocket deaf = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      for (int number = 0; number < 3; number++) { // Nobody accepts: now it answers no more SYN.
        Socket socket = new Socket();
        queue.add(socket);
        try {
          socket.connect(new InetSocketAddress(deaf.getInetAddress(), deaf.getLocalPort()), 100);
        } catch (IOException error) {
          break;
        }
      }
      waiting.countDown();
      for (Read read : READS) {
        try (LfsReader reader =
            builder()
                .endpoint("http://127.0.0.1:" + deaf.getLocalPort())
                .connectTimeout(Duration.ofSeconds(60))
                .build()) {
          interrupted(reader, read);
        }
      }
    } finally {
      for (Socket socket : queue) {
        socket.close();
      }
    }
  }

  @Test
  void flagThatIsSetBefore() {
    try (LfsReader reader = builder().build()) {
      Thread.currentThread().interrupt();
      assertThrows(ReadInterruptedException.class, () -> reader.fetch(VALUE));
      assertTrue(Thread.interrupted());
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void lookForCredentials() {
    LfsReaderBuilder builder =
        builder()
            .credentials(
                () -> {
                  Thread.currentThread().interrupt(); // As AWS's own providers find themselves.
                  throw AbortedException.create("interrupted");
                });
    try (LfsReader reader = builder.build()) {
      assertThrows(ReadInterruptedException.class, () -> reader.fetch(VALUE));
      assertTrue(Thread.interrupted());
    }
    assertEquals(List.of("cancelled"), results());
  }

  @Test
  void streamThatWasInterruptedCannotBeReadOn() throws IOException {
    try (LfsReader reader = builder().build();
        InputStream stream = reader.open(VALUE).stream()) {
      byte[] chunk = new byte[256 * 1024];
      assertTrue(stream.read(chunk) > 0);
      Thread.currentThread().interrupt();
      LfsException error = assertThrows(ReadInterruptedException.class, stream::readAllBytes);
      assertTrue(Thread.interrupted());
      assertEquals(error, assertThrows(ReadInterruptedException.class, stream::read));
    }
  }

  @Test
  void closedReaderEndsReadsThatWait() throws Exception {
    s3.script.add(
        (request, out) -> {
          s3.cutAfter(300_000).to(request, out);
          out.flush();
          return waits();
        });
    LfsReader reader = builder().tries(1).build();
    CompletableFuture<Throwable> thrown =
        CompletableFuture.supplyAsync(
            () -> assertThrows(StoreUnavailableException.class, () -> reader.fetch(VALUE)));
    assertTrue(waiting.await(20, TimeUnit.SECONDS));
    reader.close();
    assertTrue(thrown.get(10, TimeUnit.SECONDS).getMessage().contains("closed"));
    assertThrows(IllegalStateException.class, () -> reader.fetch(VALUE));
  }
}
