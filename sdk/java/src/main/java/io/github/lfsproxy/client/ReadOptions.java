package io.github.lfsproxy.client;

import java.util.Objects;
import java.util.Optional;
import java.util.function.LongConsumer;

/** What one read is told. Each method returns a changed copy. */
public final class ReadOptions {
  private static final ReadOptions NONE = new ReadOptions(null, bytes -> {});

  private final RecordCoordinates record;
  private final LongConsumer onProgress;

  private ReadOptions(RecordCoordinates record, LongConsumer onProgress) {
    this.record = record;
    this.onProgress = onProgress;
  }

  /** Nothing in particular. */
  public static ReadOptions none() {
    return NONE;
  }

  /** Where the record is: the hook is told, and a {@link ProxySource} needs it. */
  public ReadOptions record(RecordCoordinates record) {
    return new ReadOptions(Objects.requireNonNull(record, "record"), onProgress);
  }

  /**
   * Told the bytes so far, in the reading thread, as the blob comes; the last call has its whole
   * length. What it throws ends the read. Not called for an ordinary value.
   */
  public ReadOptions onProgress(LongConsumer progress) {
    return new ReadOptions(record, Objects.requireNonNull(progress, "progress"));
  }

  Optional<RecordCoordinates> record() {
    return Optional.ofNullable(record);
  }

  LongConsumer onProgress() {
    return onProgress;
  }
}
