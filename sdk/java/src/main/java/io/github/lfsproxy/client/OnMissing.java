package io.github.lfsproxy.client;

import java.util.Locale;

/** What becomes of an envelope without its blob. */
public enum OnMissing {
  /** Throw {@link BlobMissingException}. */
  RAISE,
  /** The value is null. */
  SKIP,
  /** The value is the envelope itself. */
  ENVELOPE;

  /**
   * The choice of that name: raise, skip or envelope.
   *
   * @throws IllegalArgumentException for any other name
   */
  public static OnMissing of(String name) {
    for (OnMissing choice : values()) {
      if (choice.name().toLowerCase(Locale.ROOT).equals(name)) {
        return choice;
      }
    }
    throw new IllegalArgumentException(
        String.format("on_missing is %s, one of raise, skip, envelope is needed", name));
  }
}
