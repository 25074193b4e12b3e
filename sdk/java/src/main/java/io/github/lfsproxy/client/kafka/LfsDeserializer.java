package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.Envelope;
import io.github.lfsproxy.client.LfsException;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.Resolved;
import java.nio.ByteBuffer;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Gives the blob behind an envelope to another deserializer, and any other value as it is.
 *
 * <pre>{@code
 * value.deserializer=io.github.lfsproxy.client.kafka.LfsDeserializer
 * lfs.inner.deserializer=org.apache.kafka.common.serialization.StringDeserializer
 * lfs.s3.bucket=kafscale
 * }</pre>
 *
 * <p>The properties are those of {@link LfsConfig}. Keys are never resolved: as a key.deserializer
 * this only delegates, to {@value #INNER_KEY}. A blob that is missing under {@code
 * lfs.on.missing=skip} is null.
 *
 * @param <T> what the inner deserializer makes of the bytes
 */
public final class LfsDeserializer<T> implements Deserializer<T> {
  /** The deserializer that gets the bytes of a value. Default: ByteArrayDeserializer. */
  public static final String INNER = "lfs.inner.deserializer";

  /** The deserializer of keys. Default: ByteArrayDeserializer. */
  public static final String INNER_KEY = "lfs.inner.key.deserializer";

  private static final ConfigDef DEFINITION =
      LfsConfig.definition()
          .define(INNER, Type.CLASS, ByteArrayDeserializer.class, Importance.HIGH, "Of values.")
          .define(INNER_KEY, Type.CLASS, ByteArrayDeserializer.class, Importance.LOW, "Of keys.");

  private LfsReader reader;
  private Deserializer<T> inner;

  /** For a Kafka client, which calls {@link #configure}. */
  public LfsDeserializer() {}

  /** A deserializer of values that is configured already; it closes both when it is closed. */
  public LfsDeserializer(LfsReader reader, Deserializer<T> inner) {
    this.reader = reader;
    this.inner = inner;
  }

  /** Takes the properties of a consumer. One that was made with a reader passes them on only. */
  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    if (inner == null) {
      LfsConfig config = LfsConfig.of(DEFINITION, configs);
      inner = instance(config, isKey ? INNER_KEY : INNER);
      reader = isKey ? null : config.reader();
    }
    inner.configure(configs, isKey);
  }

  @SuppressWarnings("unchecked")
  private static <T> Deserializer<T> instance(LfsConfig config, String property) {
    return config.instance(property, Deserializer.class);
  }

  @Override
  public T deserialize(String topic, byte[] data) {
    Resolved resolved = resolve(topic, data);
    return skipped(resolved) ? null : inner.deserialize(topic, resolved.value());
  }

  /**
   * What the inner deserializer makes of the blob or of the ordinary value.
   *
   * @throws SerializationException where the blob cannot be had; its cause is the {@link
   *     LfsException}
   */
  @Override
  public T deserialize(String topic, Headers headers, byte[] data) {
    Resolved resolved = resolve(topic, data);
    return skipped(resolved) ? null : inner.deserialize(topic, headers, resolved.value());
  }

  /**
   * As above, for the clients that hand over a buffer; an ordinary value's is passed on as it is.
   */
  @Override
  public T deserialize(String topic, Headers headers, ByteBuffer data) {
    if (data == null
        || !data.hasRemaining()
        || !Envelope.mayBe(data.remaining(), data.get(data.position()))) {
      return inner.deserialize(topic, headers, data);
    }
    byte[] bytes = new byte[data.remaining()];
    data.duplicate().get(bytes);
    Resolved resolved = resolve(topic, bytes);
    if (resolved.envelope().isEmpty()) {
      return inner.deserialize(topic, headers, data);
    }
    return skipped(resolved)
        ? null
        : inner.deserialize(topic, headers, ByteBuffer.wrap(resolved.value()));
  }

  private Resolved resolve(String topic, byte[] data) {
    if (reader == null) {
      return Resolved.ordinary(data);
    }
    try {
      return reader.resolve(data);
    } catch (LfsException error) {
      throw new SerializationException(
          String.format("a record of %s cannot be resolved: %s", topic, error.getMessage()), error);
    }
  }

  private static boolean skipped(Resolved resolved) {
    return resolved.missing() && resolved.value() == null;
  }

  @Override
  public void close() {
    if (reader != null) {
      reader.close();
    }
    if (inner != null) {
      inner.close();
    }
  }
}
