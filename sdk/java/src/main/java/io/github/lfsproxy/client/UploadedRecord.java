package io.github.lfsproxy.client;

import java.math.BigInteger;
import java.util.Map;

/** A record that the proxy has published for an upload. */
public final class UploadedRecord {
  private final String topic;
  private final int partition;
  private final long offset;
  private final long timestamp;
  private final Envelope envelope;

  /**
   * Throws a ClassCastException, ArithmeticException or InvalidEnvelopeException for another
   * answer.
   */
  @SuppressWarnings("unchecked")
  UploadedRecord(Map<String, Object> answer) {
    topic = (String) answer.get("topic");
    partition = number(answer, "partition").intValueExact();
    offset = number(answer, "offset").longValueExact();
    timestamp = number(answer, "timestamp").longValueExact();
    envelope = new Envelope((Map<String, Object>) answer.getOrDefault("envelope", Map.of()));
  }

  private static BigInteger number(Map<String, Object> answer, String name) {
    return BigInteger.class.cast(answer.getOrDefault(name, "absent"));
  }

  /** The topic. */
  public String topic() {
    return topic;
  }

  /** The partition. */
  public int partition() {
    return partition;
  }

  /** The record's offset in its partition. */
  public long offset() {
    return offset;
  }

  /** The record's timestamp in milliseconds since 1970. */
  public long timestamp() {
    return timestamp;
  }

  /** The envelope that was published as the record's value. */
  public Envelope envelope() {
    return envelope;
  }

  @Override
  public String toString() {
    return String.format("%s-%d@%d: %s", topic, partition, offset, envelope);
  }
}
