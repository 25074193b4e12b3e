package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.LfsException;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.ReadOptions;
import io.github.lfsproxy.client.RecordCoordinates;
import java.util.Map;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Makes values whose blobs are fetched only when they are asked for: a poll holds envelopes alone,
 * however large the blobs are.
 *
 * <pre>{@code
 * value.deserializer=io.github.lfsproxy.client.kafka.LfsValueDeserializer
 * lfs.s3.bucket=kafscale
 * }</pre>
 *
 * <p>The properties are those of {@link LfsConfig}. A null value stays null.
 */
public final class LfsValueDeserializer implements Deserializer<LfsValue> {
  private LfsReader reader;
  private boolean ownReader;

  /** For a Kafka client, which calls {@link #configure}. */
  public LfsValueDeserializer() {}

  /** A deserializer that is configured already. The reader stays the caller's, who closes it. */
  public LfsValueDeserializer(LfsReader reader) {
    this.reader = reader;
  }

  /**
   * Takes the properties of a consumer, unless it was made with a reader.
   *
   * @throws ConfigException for a property that cannot be used, and as a deserializer of keys
   */
  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    if (isKey) {
      throw new ConfigException("key.deserializer", getClass().getName(), "is for values only");
    }
    if (reader == null) {
      reader = LfsConfig.of(LfsConfig.definition(), configs).reader();
      ownReader = true;
    }
  }

  /**
   * The value, with nothing fetched.
   *
   * @throws SerializationException for an envelope that is malformed or of a newer version; its
   *     cause is the {@link LfsException}
   */
  @Override
  public LfsValue deserialize(String topic, byte[] data) {
    try {
      return data == null
          ? null
          : new LfsValue(reader, data, ReadOptions.none().record(RecordCoordinates.ofTopic(topic)));
    } catch (LfsException error) {
      throw new SerializationException(
          String.format("a record of %s cannot be resolved: %s", topic, error.getMessage()), error);
    }
  }

  /** Closes its own reader: values that it has made cannot be fetched any more. */
  @Override
  public void close() {
    if (ownReader) {
      reader.close();
    }
  }
}
