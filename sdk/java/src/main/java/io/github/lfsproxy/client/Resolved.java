package io.github.lfsproxy.client;

import java.util.Optional;

/** A value and where it came from. */
public final class Resolved {
  private final byte[] value;
  private final Envelope envelope;
  private final boolean missing;

  Resolved(byte[] value, Envelope envelope, boolean missing) {
    this.value = value;
    this.envelope = envelope;
    this.missing = missing;
  }

  /** An ordinary value, which stays as it is. */
  public static Resolved ordinary(byte[] value) {
    return new Resolved(value, null, false);
  }

  /**
   * The blob's bytes, or the very array that was given where it was an ordinary value.
   *
   * <p>Where the blob is missing: null, or the envelope's bytes, by {@link OnMissing}.
   */
  public byte[] value() {
    return value;
  }

  /** The envelope; empty where the value was an ordinary one. */
  public Optional<Envelope> envelope() {
    return Optional.ofNullable(envelope);
  }

  /** Whether the envelope's blob is not in the store. */
  public boolean missing() {
    return missing;
  }

  @Override
  public String toString() {
    if (envelope != null) {
      return missing ? "missing: " + envelope : envelope.toString();
    }
    return value == null ? "null" : String.format("an ordinary value (%d bytes)", value.length);
  }
}
