package io.github.lfsproxy.client;

import java.util.Locale;
import java.util.Optional;

/** What the hook is told when an envelope has been dealt with. */
public final class Resolution {
  private final Envelope envelope;
  private final String result;
  private final long size;
  private final double seconds;
  private final LfsException error;

  Resolution(Envelope envelope, String result, long size, double seconds, LfsException error) {
    this.envelope = envelope;
    this.result = result;
    this.size = size;
    this.seconds = seconds;
    this.error = error;
  }

  /** The envelope that was followed. */
  public Envelope envelope() {
    return envelope;
  }

  /** What came of it: ok, closed (before the end), or the error's name, as blob-missing. */
  public String result() {
    return result;
  }

  /** The bytes received. */
  public long size() {
    return size;
  }

  /**
   * From the start of the fetch to its end; the time that the caller took for reading is included.
   */
  public double seconds() {
    return seconds;
  }

  /** The error, where there was one. */
  public Optional<LfsException> error() {
    return Optional.ofNullable(error);
  }

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT, "%s: %s, %d bytes in %.3f s", result, envelope, size, seconds);
  }
}
