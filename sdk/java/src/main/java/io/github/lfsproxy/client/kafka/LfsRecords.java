package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.Resolved;
import java.io.InputStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** Reads the blobs of consumed records whose values came through a ByteArrayDeserializer. */
public final class LfsRecords {
  private LfsRecords() {}

  /** The record's blob as a stream, or its ordinary value; see {@link LfsReader#open}. */
  public static InputStream open(LfsReader reader, ConsumerRecord<?, byte[]> record) {
    return reader.open(record.value());
  }

  /** The record's blob, or its ordinary value; see {@link LfsReader#resolve}. */
  public static Resolved resolve(LfsReader reader, ConsumerRecord<?, byte[]> record) {
    return reader.resolve(record.value());
  }
}
