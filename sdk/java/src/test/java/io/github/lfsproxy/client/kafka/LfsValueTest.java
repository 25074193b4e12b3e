package io.github.lfsproxy.client.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.Blob;
import io.github.lfsproxy.client.BlobMissingException;
import io.github.lfsproxy.client.FakeS3;
import io.github.lfsproxy.client.InvalidEnvelopeException;
import io.github.lfsproxy.client.LfsBlob;
import io.github.lfsproxy.client.TooLargeException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.SerializationException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LfsValueTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final byte[] HELLO = "hello".getBytes(StandardCharsets.UTF_8);
  private static final byte[] ENVELOPE = Blob.of("hello").envelope("kafscale", KEY);

  private final Map<String, Object> properties = new HashMap<>();
  private FakeS3 s3;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put("kafscale/" + KEY, Blob.of("hello"));
    properties.putAll(
        Map.of(
            "value.deserializer", LfsValueDeserializer.class,
            "lfs.s3.bucket", "kafscale",
            "lfs.s3.endpoint", s3.endpoint(),
            "lfs.s3.path.style", "true",
            "lfs.s3.access.key", "id",
            "lfs.s3.secret.key", "secret"));
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private LfsValueDeserializer configured() {
    LfsValueDeserializer deserializer = new LfsValueDeserializer();
    deserializer.configure(properties, false);
    return deserializer;
  }

  @Test
  void pollOfLargeBlobsFetchesNothing() {
    byte[] large = Blob.large(64 << 20).envelope("kafscale", KEY);
    try (LfsValueDeserializer deserializer = configured()) {
      List<LfsValue> poll = new ArrayList<>();
      for (int record = 0; record < 500; record++) {
        poll.add(deserializer.deserialize("t", large));
      }
      assertEquals(500L * (64 << 20), poll.stream().mapToLong(LfsValue::size).sum());
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void blobIsFetchedWhenItIsAskedFor() throws IOException {
    try (LfsValueDeserializer deserializer = configured()) {
      LfsValue value = deserializer.deserialize("t", ENVELOPE);
      assertTrue(value.isEnvelope());
      assertEquals(5, value.size());
      assertEquals(KEY, value.envelope().orElseThrow().key());
      assertSame(ENVELOPE, value.raw());
      assertEquals("kafscale/" + KEY + " (5 bytes)", value.toString());
      assertArrayEquals(HELLO, value.bytes());
      try (LfsBlob blob = value.open()) {
        assertArrayEquals(HELLO, blob.stream().readAllBytes());
      }
    }
    assertEquals(2, s3.requests.size());
  }

  @Test
  void ordinaryValueIsItself() throws IOException {
    try (LfsValueDeserializer deserializer = configured()) {
      LfsValue value = deserializer.deserialize("t", HELLO);
      assertFalse(value.isEnvelope());
      assertEquals(5, value.size());
      assertSame(HELLO, value.bytes());
      assertArrayEquals(HELLO, value.open().stream().readAllBytes());
      assertEquals("an ordinary value (5 bytes)", value.toString());
      assertNull(deserializer.deserialize("t", null));
    }
  }

  @Test
  void failuresComeWhereTheBlobIsAskedFor() throws IOException {
    s3.blobs.clear();
    try (LfsValueDeserializer deserializer = configured()) {
      LfsValue value = deserializer.deserialize("t", ENVELOPE);
      assertThrows(BlobMissingException.class, value::bytes);
      assertThrows(BlobMissingException.class, value::open);
    }
    properties.put("lfs.on.missing", "skip");
    try (LfsValueDeserializer deserializer = configured()) {
      LfsValue value = deserializer.deserialize("t", ENVELOPE);
      assertNull(value.bytes());
      assertTrue(value.resolve().missing());
      assertNull(value.open().stream());
      assertTrue(value.open().missing());
    }
    properties.put("lfs.max.size", 4);
    try (LfsValueDeserializer deserializer = configured()) {
      assertThrows(TooLargeException.class, deserializer.deserialize("t", ENVELOPE)::open);
    }
  }

  @Test
  void brokenEnvelopeIsSerializationException() {
    byte[] broken =
        "{\"lfs_version\":1,\"s3_bucket\":\"b\",\"s3_key\":\"k\"}".getBytes(StandardCharsets.UTF_8);
    try (LfsValueDeserializer deserializer = configured()) {
      SerializationException error =
          assertThrows(SerializationException.class, () -> deserializer.deserialize("t", broken));
      assertInstanceOf(InvalidEnvelopeException.class, error.getCause());
    }
  }

  @Test
  void keysAreRefused() {
    try (LfsValueDeserializer deserializer = new LfsValueDeserializer()) {
      assertThrows(ConfigException.class, () -> deserializer.configure(properties, true));
    }
  }
}
