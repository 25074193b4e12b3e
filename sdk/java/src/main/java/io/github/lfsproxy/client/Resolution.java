package io.github.lfsproxy.client;

import java.util.Locale;
import java.util.Optional;

/** What the hook is told when an envelope has been dealt with. */
public final class Resolution {
  private final Envelope envelope;
  private final String result;
  private final long size;
  private final double seconds;
  private final int tries;
  private final LfsException error;
  private final RecordCoordinates record;

  Resolution(
      Envelope envelope,
      String result,
      long size,
      double seconds,
      int tries,
      LfsException error,
      RecordCoordinates record) {
    this.envelope = envelope;
    this.result = result;
    this.size = size;
    this.seconds = seconds;
    this.tries = tries;
    this.error = error;
    this.record = record;
  }

  /** The envelope that was followed. */
  public Envelope envelope() {
    return envelope;
  }

  /**
   * What came of it: ok, closed (by its reader before the end), cancelled (the thread was
   * interrupted), or the error's name, as blob-missing.
   */
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

  /** How many GETs were sent. */
  public int tries() {
    return tries;
  }

  /** Where the record is, as far as the caller of the reader has said it. */
  public Optional<RecordCoordinates> record() {
    return Optional.ofNullable(record);
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
