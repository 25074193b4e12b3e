package io.github.lfsproxy.client;

import java.io.ByteArrayInputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Optional;

/**
 * A value as a stream and where it came from. Close it.
 *
 * <pre>{@code
 * try (LfsBlob blob = reader.open(record.value())) {
 *   if (blob.stream() != null) {
 *     blob.stream().transferTo(out);
 *   }
 * }
 * }</pre>
 */
public final class LfsBlob implements Closeable {
  private final InputStream stream;
  private final Envelope envelope;
  private final boolean missing;

  private LfsBlob(InputStream stream, Envelope envelope, boolean missing) {
    this.stream = stream;
    this.envelope = envelope;
    this.missing = missing;
  }

  static LfsBlob ordinary(byte[] value) {
    return new LfsBlob(value == null ? null : new ByteArrayInputStream(value), null, false);
  }

  static LfsBlob of(InputStream stream, Envelope envelope) {
    return new LfsBlob(stream, envelope, false);
  }

  static LfsBlob missing(byte[] instead, Envelope envelope) {
    return new LfsBlob(instead == null ? null : new ByteArrayInputStream(instead), envelope, true);
  }

  /**
   * The blob's bytes, or the ordinary value's. Null for a null value (then {@link #missing} is
   * false), and for a blob that is missing under {@link OnMissing#SKIP} (then it is true).
   */
  public InputStream stream() {
    return stream;
  }

  /** The envelope; empty where the value was an ordinary one. */
  public Optional<Envelope> envelope() {
    return Optional.ofNullable(envelope);
  }

  /** Whether the envelope's blob is not in the store. */
  public boolean missing() {
    return missing;
  }

  /** Closes the stream. Before its end this is no error, but no success either. */
  @Override
  public void close() {
    if (stream != null) {
      try {
        stream.close();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  @Override
  public String toString() {
    String what = envelope == null ? "an ordinary value" : envelope.toString();
    return missing ? "missing: " + what : envelope == null && stream == null ? "null" : what;
  }
}
