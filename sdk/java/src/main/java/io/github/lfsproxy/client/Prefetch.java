package io.github.lfsproxy.client;

/** How many blobs are fetched at a time, and how many bytes of them are held. */
public final class Prefetch {
  private static final Prefetch DEFAULTS = new Prefetch(8, 256L * 1024 * 1024);

  private final int concurrency;
  private final long maxBytes;

  private Prefetch(int concurrency, long maxBytes) {
    this.concurrency = concurrency;
    this.maxBytes = maxBytes;
  }

  /** 8 at a time, 256 MiB. */
  public static Prefetch defaults() {
    return DEFAULTS;
  }

  /**
   * These bounds.
   *
   * @param concurrency the most blobs that are fetched at a time
   * @param maxBytes the most bytes of blobs that are held, by their envelopes' content_length: from
   *     the moment that a fetch begins until the record is handed over. A larger blob goes alone.
   * @throws IllegalArgumentException for less than one of either
   */
  public static Prefetch of(int concurrency, long maxBytes) {
    if (concurrency < 1 || maxBytes < 1) {
      throw new IllegalArgumentException(
          String.format(
              "concurrency is %d and maxBytes %d, 1 or more is needed of both",
              concurrency, maxBytes));
    }
    return new Prefetch(concurrency, maxBytes);
  }

  int concurrency() {
    return concurrency;
  }

  long maxBytes() {
    return maxBytes;
  }

  @Override
  public String toString() {
    return String.format("%d at a time, %d bytes", concurrency, maxBytes);
  }
}
