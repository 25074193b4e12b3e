package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.Envelope;
import io.github.lfsproxy.client.LfsBlob;
import io.github.lfsproxy.client.LfsException;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.ReadOptions;
import io.github.lfsproxy.client.Resolved;
import java.util.Optional;

/**
 * A record's value whose blob is fetched only when it is asked for, and each time anew.
 *
 * <p>It holds what Kafka has, the envelope or the ordinary value, and can be read until the
 * consumer is closed. May be shared by threads.
 */
public final class LfsValue {
  private final LfsReader reader;
  private final ReadOptions options;
  private final byte[] raw;
  private final Envelope envelope;

  /**
   * The value behind these bytes, which are not null.
   *
   * @throws LfsException for an envelope that is malformed or of a newer version
   */
  public LfsValue(LfsReader reader, byte[] raw) {
    this(reader, raw, ReadOptions.none());
  }

  /** The same; every read is told this. */
  public LfsValue(LfsReader reader, byte[] raw, ReadOptions options) {
    this.reader = reader;
    this.options = options;
    this.raw = raw;
    this.envelope = Envelope.parse(raw).orElse(null);
  }

  /** The envelope; empty where the value is an ordinary one. */
  public Optional<Envelope> envelope() {
    return Optional.ofNullable(envelope);
  }

  /** Whether there is a blob to be fetched. */
  public boolean isEnvelope() {
    return envelope != null;
  }

  /** How many bytes {@link #open} gives, as the envelope says or as the ordinary value has. */
  public long size() {
    return envelope == null ? raw.length : envelope.contentLength();
  }

  /**
   * The blob as a stream, verified on the way, or the ordinary value. Close it. Its stream is null
   * for a missing blob with {@code lfs.on.missing=skip}.
   *
   * @throws LfsException as {@link LfsReader#open} does
   */
  public LfsBlob open() {
    return reader.open(raw, options);
  }

  /**
   * The whole blob, or the ordinary value, and whether the blob is missing.
   *
   * @throws LfsException as {@link LfsReader#resolve} does
   */
  public Resolved resolve() {
    return reader.resolve(raw, options);
  }

  /**
   * The whole blob, or the ordinary value. Null for a missing blob with {@code
   * lfs.on.missing=skip}.
   *
   * @throws LfsException as {@link LfsReader#open} does
   */
  public byte[] bytes() {
    return resolve().value();
  }

  /** The bytes that Kafka has: the envelope itself, or the ordinary value. Not a copy. */
  public byte[] raw() {
    return raw;
  }

  @Override
  public String toString() {
    return envelope == null
        ? String.format("an ordinary value (%d bytes)", raw.length)
        : envelope.toString();
  }
}
