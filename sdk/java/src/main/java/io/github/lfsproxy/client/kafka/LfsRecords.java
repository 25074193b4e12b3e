package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.LfsBlob;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.Prefetch;
import io.github.lfsproxy.client.Prefetched;
import io.github.lfsproxy.client.ReadOptions;
import io.github.lfsproxy.client.RecordCoordinates;
import io.github.lfsproxy.client.Resolved;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Reads the blobs of consumed records whose values came through a ByteArrayDeserializer. */
public final class LfsRecords {
  private LfsRecords() {}

  /** The record's blob as a stream, or its ordinary value; see {@link LfsReader#open}. */
  public static LfsBlob open(LfsReader reader, ConsumerRecord<?, byte[]> record) {
    return reader.open(record.value(), options(record));
  }

  /** The record's blob, or its ordinary value; see {@link LfsReader#resolve}. */
  public static Resolved resolve(LfsReader reader, ConsumerRecord<?, byte[]> record) {
    return reader.resolve(record.value(), options(record));
  }

  /**
   * The blobs of a poll, some fetched at a time, in the order of the records. One's failure is its
   * own, and comes in its place. Close what this returns: that ends what is still being fetched.
   *
   * <pre>{@code
   * try (var blobs = LfsRecords.resolveAll(reader, records, Prefetch.of(8, 256 << 20))) {
   *   for (var entry : blobs) {
   *     handle(entry.item(), entry.value());
   *   }
   * }
   * }</pre>
   */
  public static <K> Prefetched<ConsumerRecord<K, byte[]>> resolveAll(
      LfsReader reader, Iterable<ConsumerRecord<K, byte[]>> records, Prefetch prefetch) {
    return reader.resolveAll(records, ConsumerRecord::value, LfsRecords::options, prefetch);
  }

  /** What a read of this record is told: where the record is. */
  public static ReadOptions options(ConsumerRecord<?, ?> record) {
    return ReadOptions.none()
        .record(RecordCoordinates.of(record.topic(), record.partition(), record.offset()));
  }
}
