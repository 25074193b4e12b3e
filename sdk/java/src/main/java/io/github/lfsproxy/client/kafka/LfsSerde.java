package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.LfsReader;
import java.util.Map;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/**
 * For Kafka Streams: large values are marked for the proxy to offload, also on the way through
 * repartition topics, and envelopes are given as their blobs.
 *
 * <pre>{@code
 * bootstrap.servers=localhost:19092                # the proxy
 * default.value.serde=io.github.lfsproxy.client.kafka.LfsSerde
 * lfs.inner.serializer=org.apache.kafka.common.serialization.StringSerializer
 * lfs.inner.deserializer=org.apache.kafka.common.serialization.StringDeserializer
 * lfs.mark.min.size=1000000
 * }</pre>
 *
 * <p>The properties are those of {@link LfsSerializer} and {@link LfsDeserializer}.
 *
 * @param <T> the type of values
 */
public final class LfsSerde<T> implements Serde<T> {
  private final LfsSerializer<T> serializer;
  private final LfsDeserializer<T> deserializer;

  /** For Kafka Streams, which calls {@link #configure}. */
  public LfsSerde() {
    serializer = new LfsSerializer<>();
    deserializer = new LfsDeserializer<>();
  }

  /** One that is configured already. The reader stays the caller's; the inner serde is closed. */
  public LfsSerde(LfsReader reader, Serde<T> inner, MarkBySize mark) {
    serializer = new LfsSerializer<>(inner.serializer(), mark);
    deserializer = new LfsDeserializer<>(reader, inner.deserializer());
  }

  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    serializer.configure(configs, isKey);
    deserializer.configure(configs, isKey);
  }

  @Override
  public Serializer<T> serializer() {
    return serializer;
  }

  @Override
  public Deserializer<T> deserializer() {
    return deserializer;
  }

  @Override
  public void close() {
    serializer.close();
    deserializer.close();
  }
}
