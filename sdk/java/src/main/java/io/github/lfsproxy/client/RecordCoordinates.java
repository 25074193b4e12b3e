package io.github.lfsproxy.client;

import java.util.Objects;

/** Where a record is in Kafka, as far as the caller knows it. */
public final class RecordCoordinates {
  private final String topic;
  private final int partition;
  private final long offset;

  private RecordCoordinates(String topic, int partition, long offset) {
    this.topic = Objects.requireNonNull(topic, "topic");
    this.partition = partition;
    this.offset = offset;
  }

  /**
   * The record's place.
   *
   * @throws IllegalArgumentException for a negative partition or offset
   */
  public static RecordCoordinates of(String topic, int partition, long offset) {
    if (partition < 0 || offset < 0) {
      throw new IllegalArgumentException(
          String.format(
              "partition %d and offset %d: 0 or more is needed of both", partition, offset));
    }
    return new RecordCoordinates(topic, partition, offset);
  }

  /** Only the topic, which is all that a deserializer is told. */
  public static RecordCoordinates ofTopic(String topic) {
    return new RecordCoordinates(topic, -1, -1);
  }

  /** The topic. */
  public String topic() {
    return topic;
  }

  /** The partition; -1: not known. */
  public int partition() {
    return partition;
  }

  /** The offset; -1: not known. */
  public long offset() {
    return offset;
  }

  /** Whether partition and offset are known. */
  public boolean complete() {
    return offset >= 0;
  }

  @Override
  public boolean equals(Object other) {
    if (!(other instanceof RecordCoordinates)) {
      return false;
    }
    RecordCoordinates that = (RecordCoordinates) other;
    return topic.equals(that.topic) && partition == that.partition && offset == that.offset;
  }

  @Override
  public int hashCode() {
    return Objects.hash(topic, partition, offset);
  }

  /** As Kafka writes it: topic-partition@offset. */
  @Override
  public String toString() {
    return complete() ? String.format("%s-%d@%d", topic, partition, offset) : topic;
  }
}
