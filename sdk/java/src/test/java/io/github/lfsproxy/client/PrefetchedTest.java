package io.github.lfsproxy.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class PrefetchedTest {
  private final Map<String, byte[]> blobs = new ConcurrentHashMap<>();
  private final List<String> asked = Collections.synchronizedList(new ArrayList<>());
  private final Semaphore gate = new Semaphore(Integer.MAX_VALUE);
  private final AtomicInteger running = new AtomicInteger();
  private final AtomicInteger mostRunning = new AtomicInteger();
  private final CountDownLatch interrupted = new CountDownLatch(1);

  /** A store in memory, whose answers wait at the gate. */
  private BlobAnswer answer(BlobRequest request) throws InterruptedException {
    String key = request.envelope().key();
    asked.add(key);
    mostRunning.accumulateAndGet(running.incrementAndGet(), Math::max);
    try {
      gate.acquire();
    } catch (InterruptedException error) {
      interrupted.countDown();
      throw error;
    } finally {
      running.decrementAndGet();
    }
    byte[] blob = blobs.get(key);
    if (blob == null) {
      return BlobAnswer.refused(404, "NoSuchKey");
    }
    InputStream body = new ByteArrayInputStream(blob);
    return BlobAnswer.bytes(200, blob.length, "\"one\"", body);
  }

  private LfsReader reader() {
    return LfsReader.builder().bucket(TestReader.BUCKET).source(this::answer).build();
  }

  private byte[] stored(String name, int length) {
    byte[] bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    blobs.put("lfs/" + name, bytes);
    return Blob.of(bytes).envelope(TestReader.BUCKET, "lfs/" + name);
  }

  private static Prefetched<byte[]> resolveAll(
      LfsReader reader, List<byte[]> values, Prefetch bounds) {
    return reader.resolveAll(values, value -> value, value -> ReadOptions.none(), bounds);
  }

  private void settle(int count) throws InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (asked.size() < count && System.nanoTime() < deadline) {
      Thread.sleep(1);
    }
    Thread.sleep(20); // What should not be asked for would be by now.
  }

  @Test
  void orderIsKeptAndFailuresComeInTheirPlace() {
    byte[] missing = stored("gone", 10);
    blobs.remove("lfs/gone");
    byte[] broken =
        "{\"lfs_version\":9,\"s3_bucket\":\"b\",\"s3_key\":\"k\"}".getBytes(StandardCharsets.UTF_8);
    byte[] ordinary = "ordinary".getBytes(StandardCharsets.UTF_8);
    List<byte[]> values =
        Arrays.asList(stored("a", 5), ordinary, missing, null, broken, stored("b", 7));
    List<String> got = new ArrayList<>();
    try (LfsReader reader = reader();
        Prefetched<byte[]> all = resolveAll(reader, values, Prefetch.defaults())) {
      for (Prefetched.Entry<byte[]> entry : all) {
        got.add(entry.error().map(LfsException::name).orElse("ok"));
        if (entry.item() == missing) {
          assertThrows(BlobMissingException.class, entry::value);
        } else if (entry.item() == ordinary) {
          assertEquals(ordinary, entry.value());
        } else if (entry.item() == null) {
          assertNull(entry.value());
        }
      }
    }
    assertEquals(List.of("ok", "ok", "blob-missing", "ok", "unsupported-envelope", "ok"), got);
  }

  @Test
  void atMostSoManyAreFetchedAtATime() throws InterruptedException {
    List<byte[]> values =
        IntStream.range(0, 20).mapToObj(n -> stored("n" + n, 5)).collect(Collectors.toList());
    gate.drainPermits();
    try (LfsReader reader = reader();
        Prefetched<byte[]> all = resolveAll(reader, values, Prefetch.of(3, 1000))) {
      settle(3);
      assertEquals(3, asked.size());
      gate.release(20);
      int count = 0;
      for (Prefetched.Entry<byte[]> entry : all) {
        assertArrayEquals(blobs.get("lfs/n" + count++), entry.value());
      }
      assertEquals(20, count);
    }
    assertEquals(3, mostRunning.get());
  }

  @Test
  void bytesAreHeldUpToTheBoundAndALargerBlobGoesAlone() throws InterruptedException {
    List<byte[]> values = new ArrayList<>();
    for (String name : List.of("a", "b", "c", "large", "d")) {
      values.add(stored(name, name.equals("large") ? 500 : 40));
    }
    try (LfsReader reader = reader();
        Prefetched<byte[]> all = resolveAll(reader, values, Prefetch.of(8, 100))) {
      Iterator<Prefetched.Entry<byte[]>> each = all.iterator();
      settle(2);
      assertEquals(2, asked.size(), "80 of 100 bytes are held");
      each.next();
      settle(3);
      assertEquals(3, asked.size());
      each.next();
      each.next();
      settle(4);
      assertEquals("lfs/large", asked.get(3), "it is next");
      assertEquals(4, asked.size(), "beside it nothing has room");
      assertEquals(500, each.next().value().length);
      assertEquals(40, each.next().value().length);
    }
  }

  @Test
  void bytesHeldNeverExceedTheBound() {
    Random random = new Random(5);
    List<byte[]> values = new ArrayList<>();
    for (int number = 0; number < 200; number++) {
      values.add(stored("n" + number, 1 + random.nextInt(300)));
    }
    AtomicLong held = new AtomicLong();
    AtomicLong most = new AtomicLong();
    BlobSource counting =
        request -> {
          most.accumulateAndGet(held.addAndGet(request.envelope().contentLength()), Math::max);
          mostRunning.accumulateAndGet(running.incrementAndGet(), Math::max);
          Thread.sleep(1); // So that several are under way.
          running.decrementAndGet();
          return answer(request);
        };
    try (LfsReader reader = LfsReader.builder().bucket(TestReader.BUCKET).source(counting).build();
        Prefetched<byte[]> all = resolveAll(reader, values, Prefetch.of(16, 1000))) {
      for (Iterator<Prefetched.Entry<byte[]>> each = all.iterator(); each.hasNext(); ) {
        // What is handed over is the caller's; a fetch that begins within next() may not see it.
        held.addAndGet(-each.next().value().length);
      }
    }
    assertEquals(0, held.get());
    assertTrue(most.get() <= 1000 + 300, most + " bytes");
    assertTrue(mostRunning.get() > 1);
  }

  @Test
  void closeEndsTheFetches() throws InterruptedException {
    gate.drainPermits();
    try (LfsReader reader = reader()) {
      Prefetched<byte[]> all =
          resolveAll(reader, List.of(stored("a", 5), stored("b", 5)), Prefetch.of(1, 100));
      settle(1);
      all.close();
      assertTrue(interrupted.await(10, TimeUnit.SECONDS));
      assertThrows(IllegalStateException.class, all.iterator()::next);
      Thread.sleep(20);
      assertEquals(1, asked.size());
    }
  }

  @Test
  void interruptOfTheCallerEndsTheFetches() throws InterruptedException {
    gate.drainPermits();
    try (LfsReader reader = reader();
        Prefetched<byte[]> all = resolveAll(reader, List.of(stored("a", 5)), Prefetch.defaults())) {
      settle(1);
      Thread.currentThread().interrupt();
      assertThrows(ReadInterruptedException.class, all.iterator()::next);
      assertTrue(Thread.interrupted());
      assertTrue(interrupted.await(10, TimeUnit.SECONDS));
    }
  }

  @Test
  void errorThatIsNotTheLibrarysIsHandedOverToo() {
    BlobSource broken =
        request -> {
          throw new IllegalStateException("the source is broken");
        };
    try (LfsReader reader = LfsReader.builder().bucket(TestReader.BUCKET).source(broken).build();
        Prefetched<byte[]> all = resolveAll(reader, List.of(stored("a", 5)), Prefetch.defaults())) {
      LfsException error = all.iterator().next().error().orElseThrow();
      assertEquals("read-interrupted", error.name());
      assertEquals("the source is broken", error.getCause().getMessage());
    }
  }

  @Test
  void boundsBelowOneAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> Prefetch.of(0, 1));
    assertThrows(IllegalArgumentException.class, () -> Prefetch.of(1, 0));
  }
}
