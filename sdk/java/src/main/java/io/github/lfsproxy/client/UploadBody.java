package io.github.lfsproxy.client;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;

/** The bytes of an upload on their way: how far they got tells what a lost connection means. */
final class UploadBody extends FilterInputStream {
  private volatile long lastProgress = System.nanoTime();
  private volatile boolean ended;
  private volatile boolean cancelled;
  private volatile IOException failure;

  /** {@code empty}: there is nothing to be read, so that all was sent from the start. */
  UploadBody(InputStream in, boolean empty) {
    super(in);
    ended = empty;
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
      int count = super.read(target, offset, length);
      lastProgress = System.nanoTime();
      ended = ended || count < 0;
      return count;
    } catch (IOException error) {
      failure = error;
      throw error;
    }
  }
}
