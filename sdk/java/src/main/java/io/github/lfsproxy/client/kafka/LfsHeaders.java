package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.Envelope;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;

/** The headers by which a record asks the proxy to offload its value. */
public final class LfsHeaders {
  /** Offload this record; its value is the expected checksum in hex, or empty. */
  public static final String BLOB = "LFS_BLOB";

  /** The algorithm of that checksum and of the envelope's: sha256, crc32 or md5. */
  public static final String ALGORITHM = "LFS_BLOB_ALG";

  /** The media type, which goes to the envelope and the object. */
  public static final String CONTENT_TYPE = "content-type";

  /**
   * Set by {@link LfsDeserializer} on a record whose blob is not in the store, which {@code
   * lfs.on.missing} lets pass: so a null value that was skipped is told from a tombstone. Its value
   * is the envelope.
   */
  public static final String MISSING = "lfs-missing";

  private LfsHeaders() {}

  /** The envelope of a consumed record whose blob is missing; empty: nothing is. */
  public static Optional<Envelope> missing(Headers headers) {
    return Optional.ofNullable(headers.lastHeader(MISSING))
        .flatMap(header -> Envelope.parse(header.value()));
  }

  /**
   * Marks a record, and returns it. Do this before it is sent. One of a null value stays as it is:
   * the proxy never offloads a tombstone, and leaves its headers on it.
   */
  public static <K, V> ProducerRecord<K, V> mark(ProducerRecord<K, V> record, LfsMark mark) {
    if (record.value() != null) {
      mark(record.headers(), mark);
    }
    return record;
  }

  /** Sets the headers of a mark; those of an earlier mark go. */
  public static void mark(Headers headers, LfsMark mark) {
    headers.remove(BLOB);
    headers.remove(ALGORITHM);
    headers.add(BLOB, bytes(mark.expected().orElse("")));
    mark.algorithm().ifPresent(algorithm -> headers.add(ALGORITHM, bytes(algorithm.id())));
    mark.contentType()
        .ifPresent(type -> headers.remove(CONTENT_TYPE).add(CONTENT_TYPE, bytes(type)));
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
