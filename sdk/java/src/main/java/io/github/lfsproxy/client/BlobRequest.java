package io.github.lfsproxy.client;

import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** One GET that a reader wants to be sent. */
public final class BlobRequest {
  private final Envelope envelope;
  private final RecordCoordinates record;
  private final long first;
  private final String etag;

  BlobRequest(Envelope envelope, RecordCoordinates record, long first, String etag) {
    this.envelope = envelope;
    this.record = record;
    this.first = first;
    this.etag = etag;
  }

  /** Which blob. */
  public Envelope envelope() {
    return envelope;
  }

  /** Which record, where the caller of the reader has said so. */
  public Optional<RecordCoordinates> record() {
    return Optional.ofNullable(record);
  }

  /** The first byte that is wanted; all from there on are. */
  public long first() {
    return first;
  }

  /** The ETag of the bytes before {@link #first}, which the object must still have. */
  public Optional<String> etag() {
    return Optional.ofNullable(etag);
  }

  /** The headers that say this to a store: Range and If-Match, where a blob is read on. */
  public Map<String, String> headers() {
    return headers("If-Match");
  }

  Map<String, String> headers(String condition) {
    Map<String, String> headers = new TreeMap<>();
    if (first > 0) {
      headers.put("Range", "bytes=" + first + "-");
      etag().ifPresent(tag -> headers.put(condition, tag));
    }
    return headers;
  }
}
