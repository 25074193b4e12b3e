package io.github.lfsproxy.client.kafka;

import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serializer;

/**
 * Marks values by their size, so that the proxy offloads them; another serializer makes the bytes.
 *
 * <pre>{@code
 * bootstrap.servers=localhost:19092                # the proxy
 * value.serializer=io.github.lfsproxy.client.kafka.LfsSerializer
 * lfs.inner.serializer=org.apache.kafka.common.serialization.StringSerializer
 * lfs.mark.min.size=1000000
 * }</pre>
 *
 * <p>As a key.serializer this only delegates, to {@value #INNER_KEY}. A caller that gives no
 * headers, as a state store of Kafka Streams, gets no mark.
 *
 * @param <T> what the inner serializer takes
 */
public final class LfsSerializer<T> implements Serializer<T> {
  /** The serializer that makes the bytes of a value. Default: ByteArraySerializer. */
  public static final String INNER = "lfs.inner.serializer";

  /** The serializer of keys. Default: ByteArraySerializer. */
  public static final String INNER_KEY = "lfs.inner.key.serializer";

  private static final ConfigDef DEFINITION =
      MarkBySize.define(
          new ConfigDef()
              .define(
                  INNER,
                  Type.CLASS,
                  ByteArraySerializer.class,
                  Importance.HIGH,
                  "The serializer that makes the bytes of a value.")
              .define(
                  INNER_KEY,
                  Type.CLASS,
                  ByteArraySerializer.class,
                  Importance.LOW,
                  "The serializer that makes the bytes of a key."),
          MarkBySize.DEFAULT_MIN_SIZE);

  private Serializer<T> inner;
  private MarkBySize mark;

  /** For a Kafka client, which calls {@link #configure}. */
  public LfsSerializer() {}

  /** A serializer of values that is configured already; it closes the inner one. */
  public LfsSerializer(Serializer<T> inner, MarkBySize mark) {
    this.inner = inner;
    this.mark = mark;
  }

  /** The properties, with their defaults and what they mean. */
  public static ConfigDef definition() {
    return new ConfigDef(DEFINITION);
  }

  /**
   * Takes the properties of a producer. One that was made by hand passes them on only.
   *
   * @throws ConfigException for a property that cannot be used
   */
  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    if (inner == null) {
      LfsConfig config = LfsConfig.of(DEFINITION, configs);
      inner = instance(config, isKey ? INNER_KEY : INNER);
      mark = isKey ? MarkBySize.of(-1) : MarkBySize.of(config);
    }
    inner.configure(configs, isKey);
  }

  @SuppressWarnings("unchecked")
  private static <T> Serializer<T> instance(LfsConfig config, String property) {
    return config.instance(property, Serializer.class);
  }

  /** The bytes. Without headers they cannot be marked. */
  @Override
  public byte[] serialize(String topic, T data) {
    return inner.serialize(topic, data);
  }

  /** The bytes; where they are large enough, the headers get the mark. */
  @Override
  public byte[] serialize(String topic, Headers headers, T data) {
    byte[] bytes = inner.serialize(topic, headers, data);
    if (headers != null) {
      mark.mark(headers, bytes);
    }
    return bytes;
  }

  @Override
  public void close() {
    if (inner != null) {
      inner.close();
    }
  }
}
