package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Objects;
import java.util.function.LongConsumer;

/**
 * A blob as a stream that ends cleanly only when every byte was there and right.
 *
 * <p>The last bytes are handed out only after the whole blob was verified: until then, and on every
 * read after a failure, the error is thrown where the end would be. So neither "read until the end"
 * nor "read content_length bytes" can take a wrong blob for a right one.
 *
 * <p>Anything else that is thrown in the middle of a read (an Error of the hook, OutOfMemoryError,
 * what the target of a copy throws) may take bytes with it: then, too, every later read throws.
 */
final class BlobStream extends InputStream {
  static final int BUFFER_BYTES = 256 * 1024;

  /** Told once, when all is over. Neither verified nor an error: closed before the end. */
  interface Ended {
    void ended(long received, boolean verified, LfsException error);
  }

  private final Envelope envelope;
  private final BlobBytes source;
  private final Checksum checksum;
  private final byte[] buffer;
  private final LongConsumer onProgress;
  private Ended ended;
  private int next;
  private int filled;
  private long received;
  private boolean verified;
  private boolean closed;
  private LfsException error;

  BlobStream(Envelope envelope, BlobBytes source, LongConsumer onProgress, Ended ended) {
    this.envelope = envelope;
    this.source = source;
    this.onProgress = onProgress;
    this.ended = ended;
    checksum = new Checksum(envelope.checksumAlgorithm());
    buffer = new byte[(int) Math.min(BUFFER_BYTES, Math.max(1, envelope.contentLength()))];
  }

  @Override
  public int read() throws IOException {
    return fill() ? buffer[next++] & 0xff : -1;
  }

  @Override
  public int read(byte[] target, int offset, int length) throws IOException {
    Objects.checkFromIndexSize(offset, length, target.length);
    if (length == 0) {
      return 0;
    }
    if (!fill()) {
      return -1;
    }
    int count = Math.min(length, filled - next);
    System.arraycopy(buffer, next, target, offset, count);
    next += count;
    return count;
  }

  @Override
  public byte[] readAllBytes() throws IOException {
    return readNBytes(Integer.MAX_VALUE);
  }

  @Override
  public byte[] readNBytes(int length) throws IOException {
    try {
      return super.readNBytes(length);
    } catch (IOException | RuntimeException | Error failure) {
      breakOff(failure);
      throw failure;
    }
  }

  @Override
  public long transferTo(OutputStream out) throws IOException {
    try {
      return super.transferTo(out);
    } catch (IOException | RuntimeException | Error failure) {
      breakOff(failure);
      throw failure;
    }
  }

  @Override
  public int available() {
    return closed ? 0 : filled - next;
  }

  /** The whole blob. It must be one that an array can hold. */
  byte[] whole() throws IOException {
    if (!source.lengthConfirmed()) {
      return readAllBytes(); // Grows with what comes: the length is only the envelope's word.
    }
    byte[] whole = new byte[(int) envelope.contentLength()];
    readNBytes(whole, 0, whole.length);
    fill();
    return whole;
  }

  /** Makes sure that there are bytes in the buffer; false at the verified end. */
  private boolean fill() throws IOException {
    if (closed) {
      throw new IOException("the blob is closed");
    }
    if (error != null) {
      throw error;
    }
    if (next < filled) {
      return true;
    }
    if (verified) {
      return false;
    }
    try {
      receive();
    } catch (LfsException failure) {
      error = failure;
      next = filled = 0;
      finish(failure);
      throw failure;
    } catch (RuntimeException | Error failure) {
      breakOff(failure);
      throw failure;
    }
    return filled > 0;
  }

  /** From now on every read throws, as bytes may be lost; unless that is so already. */
  private void breakOff(Throwable cause) {
    if (error == null && !closed) {
      error =
          new ReadInterruptedException(
              String.format("the blob %s cannot be read on: %s", source.name(), cause),
              cause,
              false);
      next = filled = 0;
      finish(error);
    }
  }

  private void receive() {
    long missing = envelope.contentLength() - received;
    int count = missing == 0 ? 0 : source.read(buffer, 0, (int) Math.min(buffer.length, missing));
    if (count < 0) {
      throw new BlobTruncatedException(
          String.format("the blob ends after %d of %d bytes", received, envelope.contentLength()));
    }
    checksum.update(buffer, 0, count);
    received += count;
    next = 0;
    filled = count;
    onProgress.accept(received);
    if (received == envelope.contentLength()) {
      verify();
    }
  }

  private void verify() {
    if (!source.ended()) {
      throw new BlobTruncatedException(
          String.format("the blob has more than %d bytes", envelope.contentLength()));
    }
    String actual = checksum.hex();
    if (!actual.equals(envelope.checksum())) {
      throw new ChecksumMismatchException(
          envelope.checksumAlgorithm(), envelope.checksum(), actual);
    }
    verified = true;
    finish(null);
  }

  private void finish(LfsException failure) {
    source.close();
    Ended told = ended;
    ended = null;
    if (told != null) {
      told.ended(received, verified, failure);
    }
  }

  /** Lets go of the connection. Before the end this is no error, but no success either. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      finish(null);
    }
  }
}
