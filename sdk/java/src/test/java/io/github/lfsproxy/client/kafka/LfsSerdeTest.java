package io.github.lfsproxy.client.kafka;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.lfsproxy.client.Blob;
import io.github.lfsproxy.client.FakeS3;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.test.TestRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The serde in a topology that goes through a repartition topic. */
class LfsSerdeTest {
  private static final String KEY = "lfs/default/in/0/1-x.bin";
  private static final byte[] ENVELOPE = Blob.of("a large value").envelope("kafscale", KEY);

  private final Properties properties = new Properties();
  private FakeS3 s3;

  @BeforeEach
  void start() throws IOException {
    s3 = new FakeS3();
    s3.blobs.put("kafscale/" + KEY, Blob.of("a large value"));
    properties.put("application.id", "test");
    properties.put("bootstrap.servers", "unused:9092");
    properties.put("default.key.serde", Serdes.StringSerde.class);
    properties.put("default.value.serde", LfsSerde.class);
    properties.put("lfs.inner.serializer", StringSerializer.class);
    properties.put("lfs.inner.deserializer", StringDeserializer.class);
    properties.put("lfs.mark.min.size", 10);
    properties.put("lfs.s3.bucket", "kafscale");
    properties.put("lfs.s3.endpoint", s3.endpoint());
    properties.put("lfs.s3.path.style", "true");
    properties.put("lfs.s3.access.key", "id");
    properties.put("lfs.s3.secret.key", "secret");
  }

  @AfterEach
  void stop() throws IOException {
    s3.close();
  }

  private TopologyTestDriver driver() {
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, String> values = builder.stream("in");
    values
        .map((key, value) -> KeyValue.pair("new", value.toUpperCase(java.util.Locale.ROOT)))
        .repartition(Repartitioned.as("by-new-key"))
        .to("out");
    values.mapValues(value -> value.substring(0, 3)).to("short");
    return new TopologyTestDriver(builder.build(), properties);
  }

  private static TestInputTopic<String, byte[]> in(TopologyTestDriver driver) {
    return driver.createInputTopic("in", new StringSerializer(), new ByteArraySerializer());
  }

  private static TestRecord<String, String> record(TopologyTestDriver driver, String topic) {
    TestOutputTopic<String, String> out =
        driver.createOutputTopic(topic, new StringDeserializer(), new StringDeserializer());
    return out.readRecord();
  }

  @Test
  void blobsComeInAndLargeValuesAreMarkedAlsoOnTheWay() {
    try (TopologyTestDriver driver = driver()) {
      in(driver).pipeInput("k", ENVELOPE);
      for (String topic : new String[] {"test-by-new-key-repartition", "out"}) {
        TestRecord<String, String> record = record(driver, topic);
        assertEquals("A LARGE VALUE", record.value());
        assertEquals("new", record.key());
        assertNotNull(record.headers().lastHeader("LFS_BLOB"), topic);
      }
      TestRecord<String, String> small = record(driver, "short");
      assertEquals("a l", small.value());
      assertNull(small.headers().lastHeader("LFS_BLOB"), "the mark of another value");
    }
  }

  @Test
  void smallValuesAreAsTheyAre() {
    try (TopologyTestDriver driver = driver()) {
      in(driver).pipeInput("k", "small".getBytes(StandardCharsets.UTF_8));
      TestRecord<String, String> record = record(driver, "out");
      assertEquals("SMALL", record.value());
      assertEquals(0, record.headers().toArray().length);
    }
    assertTrue(s3.requests.isEmpty());
  }

  @Test
  void serdeMayBeMadeByHand() {
    Headers headers = new RecordHeaders();
    try (var reader = LfsConfig.of(LfsConfig.definition(), configs()).reader();
        LfsSerde<String> serde = new LfsSerde<>(reader, Serdes.String(), MarkBySize.of(3))) {
      serde.serializer().serialize("t", headers, "hello");
      assertNotNull(headers.lastHeader("LFS_BLOB"));
      assertEquals("a large value", serde.deserializer().deserialize("t", headers, ENVELOPE));
    }
  }

  private java.util.Map<String, Object> configs() {
    java.util.Map<String, Object> configs = new java.util.HashMap<>();
    properties.forEach((name, value) -> configs.put((String) name, value));
    return configs;
  }
}
