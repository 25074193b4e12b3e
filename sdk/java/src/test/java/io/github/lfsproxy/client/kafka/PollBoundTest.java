package io.github.lfsproxy.client.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.Blob;
import io.github.lfsproxy.client.FakeS3;
import io.github.lfsproxy.client.TooLargeException;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The deserializer as a consumer uses it; the consumer itself is in the end-to-end tests. */
class PollBoundTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final int SIZE = 1_000_000;
  private static final byte[] ENVELOPE = Blob.large(SIZE).envelope("kafscale", KEY);

  private final LfsPollInterceptor<byte[], byte[]> interceptor = new LfsPollInterceptor<>();
  private final Map<String, Object> properties = new HashMap<>();
  private FakeS3 s3;

  /** Fails while it is told to. */
  public static final class Fussy implements Deserializer<byte[]> {
    static boolean fails;

    @Override
    public byte[] deserialize(String topic, byte[] data) {
      if (fails) {
        throw new SerializationException("not today");
      }
      return data;
    }
  }

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put("kafscale/" + KEY, Blob.large(SIZE));
    Fussy.fails = false;
    properties.putAll(
        Map.of(
            "value.deserializer",
            LfsDeserializer.class,
            "interceptor.classes",
            LfsPollInterceptor.class.getName(),
            "lfs.max.poll.bytes",
            3L * SIZE + 1,
            "lfs.inner.deserializer",
            Fussy.class,
            "lfs.s3.bucket",
            "kafscale",
            "lfs.s3.endpoint",
            s3.endpoint(),
            "lfs.s3.path.style",
            "true",
            "lfs.s3.access.key",
            "id",
            "lfs.s3.secret.key",
            "secret"));
  }

  @AfterEach
  void stop() throws IOException {
    interceptor.onConsume(ConsumerRecords.empty());
    s3.close();
  }

  private LfsDeserializer<byte[]> configured() {
    LfsDeserializer<byte[]> deserializer = new LfsDeserializer<>();
    deserializer.configure(properties, false);
    return deserializer;
  }

  private static void read(LfsDeserializer<byte[]> deserializer, int times) {
    for (int time = 0; time < times; time++) {
      assertEquals(SIZE, deserializer.deserialize("t", ENVELOPE).length);
    }
  }

  @Test
  void pollWithoutRoomEndsAndTheNextOneGoesOn() {
    try (LfsDeserializer<byte[]> deserializer = configured()) {
      read(deserializer, 3);
      // The consumer tries once more in the same poll, as it has records by then.
      for (int time = 0; time < 2; time++) {
        SerializationException full =
            assertThrows(
                SerializationException.class, () -> deserializer.deserialize("t", ENVELOPE));
        assertTrue(full.getMessage().contains("lfs.max.poll.bytes=3000001"), full.getMessage());
      }
      assertEquals(3, s3.requests.size());
      ConsumerRecords<byte[], byte[]> records = ConsumerRecords.empty();
      assertSame(records, interceptor.onConsume(records));
      read(deserializer, 3);
    }
  }

  @Test
  void onlyBlobsOfThePollCount() {
    try (LfsDeserializer<byte[]> deserializer = configured()) {
      for (int poll = 0; poll < 10; poll++) {
        read(deserializer, 1);
        deserializer.deserialize("t", new byte[2 * SIZE]);
        Fussy.fails = true;
        for (int time = 0; time < 2; time++) {
          assertEquals(
              "not today",
              assertThrows(
                      SerializationException.class, () -> deserializer.deserialize("t", ENVELOPE))
                  .getMessage());
        }
        Fussy.fails = false;
        read(deserializer, 2);
        interceptor.onConsume(ConsumerRecords.empty());
      }
    }
  }

  @Test
  void blobThatNoPollHasRoomForIsTooLarge() {
    properties.put("lfs.max.poll.bytes", SIZE - 1);
    try (LfsDeserializer<byte[]> deserializer = configured()) {
      SerializationException error =
          assertThrows(SerializationException.class, () -> deserializer.deserialize("t", ENVELOPE));
      assertInstanceOf(TooLargeException.class, error.getCause());
      assertTrue(error.getMessage().contains("lfs.max.poll.bytes"), error.getMessage());
      assertTrue(error.getMessage().contains("LfsValueDeserializer"), error.getMessage());
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void consumerWhoseBoundCannotHoldIsRefused() {
    properties.remove("lfs.max.poll.bytes");
    properties.remove("interceptor.classes");
    refused();
    properties.put("interceptor.classes", "org.example.Other, org.example.Another");
    refused();
    properties.put("lfs.max.size", 1L << 26);
    refused();
    properties.put("max.poll.records", "5");
    refused();
    properties.put("max.poll.records", "4");
    configured().close();
    properties.remove("lfs.max.size");
    refused();
    properties.put("max.poll.records", 1);
    configured().close();
  }

  private void refused() {
    LfsDeserializer<byte[]> deserializer = new LfsDeserializer<>();
    ConfigException error =
        assertThrows(ConfigException.class, () -> deserializer.configure(properties, false));
    assertTrue(
        error.getMessage().contains("interceptor.classes=" + LfsPollInterceptor.class.getName()),
        error.getMessage());
  }

  @Test
  void interceptorIsFoundHoweverItIsNamed() {
    String name = LfsPollInterceptor.class.getName();
    for (Object named :
        List.of(
            name,
            "org.example.Other , " + name,
            List.of("org.example.Other", name),
            List.of(LfsPollInterceptor.class))) {
      properties.put("interceptor.classes", named);
      configured().close();
    }
  }

  @Test
  void thereIsNoBoundWhereNoneIsWantedOrNoPollIsKnown() {
    properties.remove("interceptor.classes");
    properties.put("lfs.max.poll.bytes", 0);
    try (LfsDeserializer<byte[]> deserializer = configured()) {
      read(deserializer, 4);
    }
    properties.put("lfs.max.poll.bytes", SIZE);
    properties.put("value.deserializer", Fussy.class);
    try (LfsDeserializer<byte[]> deserializer = configured()) {
      read(deserializer, 4);
    }
  }
}
