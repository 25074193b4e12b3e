package io.github.lfsproxy.client;

import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.function.LongConsumer;

/**
 * The bytes of an upload on their way: how far they got tells what a lost connection means. Of a
 * known length no more is read than that: a file that grows meanwhile is sent as long as it was.
 */
final class UploadBody extends FilterInputStream {
  private volatile long lastProgress = System.nanoTime();
  private final LongConsumer onProgress;
  private volatile long left;
  private long handed;
  private volatile boolean ended;
  private volatile boolean cancelled;
  private volatile IOException failure;

  /** {@code length} in bytes; of 0 all was sent from the start, of -1 the end is where it comes. */
  UploadBody(InputStream in, long length, LongConsumer onProgress) {
    super(in);
    this.onProgress = onProgress;
    left = length;
    ended = length == 0;
  }

  /** Nanoseconds since bytes were last asked for. */
  long idle() {
    return System.nanoTime() - lastProgress;
  }

  /** Whether the last byte was handed over, so that the proxy may have the whole. */
  boolean ended() {
    return ended;
  }

  /** What went wrong with reading the caller's own bytes; null: nothing. */
  IOException failure() {
    return failure;
  }

  /** Lets the next read fail, which ends the request. */
  void cancel() {
    cancelled = true;
  }

  @Override
  public int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] target, int offset, int length) throws IOException {
    if (cancelled) {
      throw new IOException("the upload was given up");
    }
    try {
      int count = left < 0 ? super.read(target, offset, length) : known(target, offset, length);
      lastProgress = System.nanoTime();
      if (count > 0) {
        handed += count;
        onProgress.accept(handed);
      }
      ended = left == 0 || count < 0;
      return count;
    } catch (RuntimeException error) {
      failure = new IOException("what was told the progress has failed: " + error, error);
      throw failure;
    } catch (IOException error) {
      failure = error;
      throw error;
    }
  }

  /** With a length the proxy needs no more than the last byte: the end is not waited for. */
  private int known(byte[] target, int offset, int length) throws IOException {
    long rest = left;
    if (rest == 0) {
      return -1;
    }
    int count = super.read(target, offset, (int) Math.min(length, rest));
    if (count < 0) {
      throw new EOFException("the body ended " + rest + " bytes before its length");
    }
    left = rest - count;
    return count;
  }
}
