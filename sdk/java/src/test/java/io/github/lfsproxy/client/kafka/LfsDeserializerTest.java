package io.github.lfsproxy.client.kafka;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.Blob;
import io.github.lfsproxy.client.BlobMissingException;
import io.github.lfsproxy.client.FakeS3;
import io.github.lfsproxy.client.LfsBlob;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.Prefetch;
import io.github.lfsproxy.client.Resolution;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;

class LfsDeserializerTest {
  private static final String KEY = "lfs/default/t/0/1-x.bin";
  private static final byte[] ENVELOPE = Blob.of("hello").envelope("kafscale", KEY);

  private final Headers headers = new RecordHeaders();
  private final Map<String, Object> properties = new HashMap<>();
  private FakeS3 s3;

  /** Writes down how it was called. */
  public static final class Recorder implements Deserializer<String> {
    static final List<String> CALLS = new ArrayList<>();

    @Override
    public void configure(Map<String, ?> configs, boolean isKey) {
      CALLS.add("configure " + configs.get("mine") + " " + isKey);
    }

    @Override
    public String deserialize(String topic, byte[] data) {
      CALLS.add("bytes " + topic);
      return data == null ? "null" : new String(data, StandardCharsets.UTF_8);
    }

    @Override
    public String deserialize(String topic, Headers headers, byte[] data) {
      CALLS.add("headers " + (headers != null));
      return deserialize(topic, data);
    }

    @Override
    public String deserialize(String topic, Headers headers, ByteBuffer data) {
      CALLS.add("buffer " + (data != null && data.isDirect()));
      return data == null ? "null" : StandardCharsets.UTF_8.decode(data).toString();
    }

    @Override
    public void close() {
      CALLS.add("close");
    }
  }

  /** Keeps what it is told. */
  public static final class Hook implements Consumer<Resolution>, Configurable {
    static final List<Resolution> TOLD = new ArrayList<>();
    static Object configured;

    @Override
    public void configure(Map<String, ?> configs) {
      configured = configs.get("mine");
    }

    @Override
    public void accept(Resolution resolution) {
      TOLD.add(resolution);
    }
  }

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put("kafscale/" + KEY, Blob.of("hello"));
    properties.putAll(
        Map.of(
            "lfs.s3.bucket", "kafscale",
            "lfs.s3.endpoint", s3.endpoint(),
            "lfs.s3.path.style", "true",
            "lfs.s3.access.key", "id",
            "lfs.s3.secret.key", "secret",
            "lfs.inner.deserializer", Recorder.class.getName(),
            "lfs.inner.key.deserializer", Recorder.class,
            "mine", "yes"));
    Recorder.CALLS.clear();
    Hook.TOLD.clear();
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private LfsDeserializer<String> configured(boolean isKey) {
    LfsDeserializer<String> deserializer = new LfsDeserializer<>();
    deserializer.configure(properties, isKey);
    return deserializer;
  }

  @Test
  void innerDeserializerGetsBlobTopicHeadersAndProperties() {
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertEquals("hello", deserializer.deserialize("t", headers, ENVELOPE));
      assertEquals("hello", deserializer.deserialize("t", ENVELOPE));
    }
    assertEquals(
        List.of("configure yes false", "headers true", "bytes t", "bytes t", "close"),
        Recorder.CALLS);
  }

  @Test
  void bufferIsResolvedAndOrdinaryOneIsPassedOnAsItIs() {
    try (LfsDeserializer<String> deserializer = configured(false)) {
      ByteBuffer envelope = ByteBuffer.allocateDirect(ENVELOPE.length + 2);
      envelope.position(1);
      envelope.put(ENVELOPE).flip().position(1);
      assertEquals("hello", deserializer.deserialize("t", headers, envelope));
      ByteBuffer ordinary = ByteBuffer.allocateDirect(2).put((byte) '{').put((byte) '}').flip();
      assertEquals("{}", deserializer.deserialize("t", headers, ordinary));
      assertEquals("null", deserializer.deserialize("t", headers, (ByteBuffer) null));
    }
    assertEquals(
        List.of("configure yes false", "buffer false", "buffer true", "buffer false", "close"),
        Recorder.CALLS);
  }

  @Test
  void nullAndOrdinaryValuesArePassedOn() {
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertEquals("null", deserializer.deserialize("t", headers, (byte[]) null));
      assertEquals(
          "plain", deserializer.deserialize("t", "plain".getBytes(StandardCharsets.UTF_8)));
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void keysAreNeverResolved() {
    try (LfsDeserializer<String> deserializer = configured(true)) {
      String envelope = new String(ENVELOPE, StandardCharsets.UTF_8);
      assertEquals(envelope, deserializer.deserialize("t", headers, ENVELOPE));
      assertEquals(envelope, deserializer.deserialize("t", headers, ByteBuffer.wrap(ENVELOPE)));
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void failureIsSerializationExceptionWithItsCause() {
    s3.blobs.clear();
    try (LfsDeserializer<String> deserializer = configured(false)) {
      SerializationException error =
          assertThrows(
              SerializationException.class, () -> deserializer.deserialize("t", headers, ENVELOPE));
      assertInstanceOf(BlobMissingException.class, error.getCause());
    }
  }

  @Test
  void missingBlobIsSkippedOrLeft() {
    s3.blobs.clear();
    properties.put("lfs.on.missing", "skip");
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertNull(deserializer.deserialize("t", headers, ENVELOPE));
      assertNull(deserializer.deserialize("t", headers, ByteBuffer.wrap(ENVELOPE)));
    }
    properties.put("lfs.on.missing", "envelope");
    try (LfsDeserializer<String> deserializer = configured(false)) {
      String envelope = new String(ENVELOPE, StandardCharsets.UTF_8);
      assertEquals(envelope, deserializer.deserialize("t", headers, ENVELOPE));
    }
  }

  @Test
  void limitsAndHookArePropertiesToo() {
    properties.put("lfs.max.size", "4");
    properties.put("lfs.on.resolve", Hook.class.getName());
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertThrows(SerializationException.class, () -> deserializer.deserialize("t", ENVELOPE));
    }
    properties.put("lfs.max.size", "5");
    properties.put("lfs.prefixes", "x/,y/");
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertThrows(SerializationException.class, () -> deserializer.deserialize("t", ENVELOPE));
    }
    assertEquals("yes", Hook.configured);
    assertEquals("t", Hook.TOLD.get(0).record().orElseThrow().topic());
    assertEquals("too-large", Hook.TOLD.get(0).result());
    assertEquals("envelope-not-allowed", Hook.TOLD.get(1).result());
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void badPropertyIsNamed() {
    for (String name :
        List.of(
            "lfs.on.missing",
            "lfs.max.size",
            "lfs.s3.path.style",
            "lfs.s3.credentials.provider",
            "lfs.on.resolve")) {
      Map<String, Object> bad = new HashMap<>(properties);
      bad.put(name, "java.lang.String");
      try (LfsDeserializer<String> deserializer = new LfsDeserializer<>()) {
        ConfigException error =
            assertThrows(ConfigException.class, () -> deserializer.configure(bad, false));
        assertTrue(error.getMessage().contains(name), error.getMessage());
      }
    }
  }

  @Test
  void numberOutOfItsRangeIsRefusedByName() {
    Map<String, Object> wrong =
        Map.of(
            "lfs.read.timeout.ms", "-5",
            "lfs.connect.timeout.ms", 0,
            "lfs.tries", 0,
            "lfs.pause.ms", -1,
            "lfs.retry.time.ms", -1,
            "lfs.max.size", -1,
            "lfs.max.poll.bytes", -1,
            "lfs.s3.endpoint", "localhost:9000",
            "lfs.s3.access.key", "id");
    wrong.forEach(
        (name, value) -> {
          Map<String, Object> bad = new HashMap<>(properties);
          bad.remove("lfs.s3.secret.key");
          bad.remove("lfs.s3.access.key");
          bad.put(name, value);
          try (LfsDeserializer<String> deserializer = new LfsDeserializer<>()) {
            ConfigException error =
                assertThrows(ConfigException.class, () -> deserializer.configure(bad, false), name);
            String last = name.substring(name.lastIndexOf('.') + 1);
            assertTrue(error.getMessage().contains(last), error.getMessage());
          }
        });
  }

  @Test
  void everyPropertyIsDescribed() {
    for (ConfigDef definition : List.of(LfsDeserializer.definition(), LfsSerializer.definition())) {
      definition
          .configKeys()
          .forEach(
              (name, key) -> assertTrue(key.documentation.matches("(?s)[A-Z].{20,}\\."), name));
    }
  }

  @Test
  void temporaryCredentialsAndProvidersAreProperties() {
    properties.put("lfs.s3.session.token", "token");
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertEquals("hello", deserializer.deserialize("t", headers, ENVELOPE));
    }
    properties.remove("lfs.s3.access.key");
    properties.put("lfs.s3.credentials.provider", Anonymous.class.getName());
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertEquals("hello", deserializer.deserialize("t", headers, ENVELOPE));
    }
    assertEquals("token", s3.requests.get(0).header("x-amz-security-token"));
    assertNull(s3.requests.get(1).header("authorization"));
  }

  /** Made as the AWS SDK's own providers are. */
  public static final class Anonymous {
    private Anonymous() {}

    public static AwsCredentialsProvider create() {
      return AnonymousCredentialsProvider.create();
    }
  }

  @Test
  void skippedBlobIsToldFromTombstone() {
    s3.blobs.clear();
    properties.put("lfs.on.missing", "skip");
    try (LfsDeserializer<String> deserializer = configured(false)) {
      assertNull(deserializer.deserialize("t", headers, ENVELOPE));
      assertEquals(KEY, LfsHeaders.missing(headers).orElseThrow().key());
      // A header of a producer is not believed.
      deserializer.deserialize("t", headers, (byte[]) null);
      assertTrue(LfsHeaders.missing(headers).isEmpty());
      headers.add(LfsHeaders.MISSING, ENVELOPE);
      deserializer.deserialize("t", headers, ByteBuffer.wrap(new byte[] {1}));
      assertTrue(LfsHeaders.missing(headers).isEmpty());
    }
  }

  @Test
  void sharedReaderIsNotClosed() {
    try (LfsReader reader = LfsConfig.of(LfsConfig.definition(), properties).reader()) {
      new LfsDeserializer<>(reader, new StringDeserializer()).close();
      new LfsValueDeserializer(reader).close();
      assertEquals(5, reader.fetch(ENVELOPE).length);
    }
  }

  @Test
  void pollIsResolvedInParallelWithItsCoordinates() {
    properties.put("lfs.on.resolve", Hook.class);
    List<ConsumerRecord<String, byte[]>> poll = new ArrayList<>();
    for (int offset = 0; offset < 20; offset++) {
      poll.add(new ConsumerRecord<>("t", 1, offset, "k", ENVELOPE));
    }
    try (LfsReader reader = LfsConfig.of(LfsConfig.definition(), properties).reader();
        var blobs = LfsRecords.resolveAll(reader, poll, Prefetch.of(1, 100))) {
      long offset = 0;
      for (var entry : blobs) {
        assertEquals(offset++, entry.item().offset());
        assertEquals(5, entry.value().length);
      }
      assertEquals(20, offset);
    }
    assertEquals("t-1@19", Hook.TOLD.get(19).record().orElseThrow().toString());
  }

  @Test
  void deserializerMayBeMadeByHand() throws IOException {
    LfsReader reader = LfsConfig.of(LfsConfig.definition(), properties).reader();
    try (LfsDeserializer<String> deserializer =
        new LfsDeserializer<>(reader, new StringDeserializer())) {
      deserializer.configure(Map.of(), false);
      assertEquals("hello", deserializer.deserialize("t", headers, ENVELOPE));
    }
  }

  @Test
  void consumedRecordIsStreamed() throws IOException {
    ConsumerRecord<String, byte[]> record = new ConsumerRecord<>("t", 0, 1, "k", ENVELOPE);
    ConsumerRecord<String, byte[]> tombstone = new ConsumerRecord<>("t", 0, 2, "k", null);
    try (LfsReader reader = LfsConfig.of(LfsConfig.definition(), properties).reader()) {
      try (LfsBlob blob = LfsRecords.open(reader, record)) {
        assertArrayEquals("hello".getBytes(StandardCharsets.UTF_8), blob.stream().readAllBytes());
      }
      assertNull(LfsRecords.open(reader, tombstone).stream());
      assertSame(ENVELOPE, record.value());
      assertEquals(5, LfsRecords.resolve(reader, record).value().length);
    }
  }
}
