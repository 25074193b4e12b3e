package io.github.lfsproxy.client.kafka;

import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerInterceptor;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Tells a consumer's {@link LfsDeserializer} where a poll ends, so that {@value
 * LfsDeserializer#MAX_POLL_BYTES} holds. Changes nothing.
 *
 * <pre>{@code
 * interceptor.classes=io.github.lfsproxy.client.kafka.LfsPollInterceptor
 * }</pre>
 *
 * @param <K> the type of keys
 * @param <V> the type of values
 */
public final class LfsPollInterceptor<K, V> implements ConsumerInterceptor<K, V> {
  /** For a Kafka consumer. */
  public LfsPollInterceptor() {}

  @Override
  public ConsumerRecords<K, V> onConsume(ConsumerRecords<K, V> records) {
    PollBound.pollHasEnded();
    return records;
  }

  @Override
  public void onCommit(Map<TopicPartition, OffsetAndMetadata> offsets) {
    // Not of interest.
  }

  @Override
  public void close() {
    // Holds nothing.
  }

  @Override
  public void configure(Map<String, ?> configs) {
    // Has no properties.
  }
}
