package io.github.lfsproxy.client;

import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The bytes of one blob in their order, not verified: retried before the first byte, and taken up
 * again where they stopped.
 *
 * <p>A dropped connection is followed by a ranged GET from the next byte on, tied to the same
 * object by its ETag. Tries are counted from the last progress, so that a long download may be
 * interrupted often. An interrupt of the thread ends all; its flag is kept.
 */
final class BlobBytes implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(BlobBytes.class);
  private static final Set<Integer> RETRIED = Set.of(408, 429, 500, 502, 503, 504);
  private static final Set<Integer> OTHER_OBJECT = Set.of(200, 412, 416);

  /** By the names with which the proxy says what a reader of S3 would find by itself. */
  private static final Map<String, Function<String, LfsException>> PROBLEMS =
      Map.of(
          "blob-missing", BlobMissingException::new,
          "blob-truncated", BlobTruncatedException::new,
          "checksum-mismatch", ChecksumMismatchException::new,
          "envelope-not-allowed", EnvelopeNotAllowedException::new,
          "invalid-envelope", InvalidEnvelopeException::new,
          "unsupported-envelope", UnsupportedEnvelopeException::new,
          "store-refused", said -> new StoreRefusedException(said, null));

  private final BlobSource source;
  private final Retry retry;
  private final Sleeper sleeper;
  private final Envelope envelope;
  private final RecordCoordinates record;
  private BlobAnswer answer;
  private boolean lengthConfirmed;
  private String etag;
  private long position;
  private int failures;
  private int tries;
  private long lastProgress;

  BlobBytes(
      BlobSource source,
      Retry retry,
      Sleeper sleeper,
      Envelope envelope,
      Optional<RecordCoordinates> record) {
    this.source = source;
    this.retry = retry;
    this.sleeper = sleeper;
    this.envelope = envelope;
    this.record = record.orElse(null);
    lastProgress = sleeper.nanoTime();
  }

  /**
   * Sends the GET, where none is open.
   *
   * @throws BlobMissingException where the store has no such object
   * @throws BlobTruncatedException where the object is not of the envelope's length
   * @throws StoreRefusedException where the store says no
   * @throws StoreUnavailableException after the last try
   * @throws ReadInterruptedException where the thread was interrupted
   */
  void start() {
    while (answer == null) {
      checkInterrupt(null);
      try {
        open();
      } catch (IOException error) {
        pause(error);
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
        checkInterrupt(error);
      }
    }
  }

  /**
   * Up to {@code length} next bytes; -1 at the end of what the store sends. Throws as start does.
   */
  int read(byte[] buffer, int offset, int length) {
    while (true) {
      checkInterrupt(null); // A source of the caller's own may not notice it.
      start();
      try {
        int count = answer.body().read(buffer, offset, length);
        if (count > 0) {
          failures = 0;
          position += count;
          lastProgress = sleeper.nanoTime();
        } else if (lengthConfirmed && position < envelope.contentLength()) {
          throw new IOException("the connection was closed in the middle of the answer");
        }
        return count;
      } catch (IOException error) {
        close();
        pause(error);
      }
    }
  }

  /** Whether the store has said that the blob has the envelope's length. */
  boolean lengthConfirmed() {
    return lengthConfirmed;
  }

  /** How many GETs were sent. */
  int tries() {
    return tries;
  }

  /** Whether nothing follows the bytes that were read. Throws as start does. */
  boolean ended() {
    start();
    return lengthConfirmed ? position == envelope.contentLength() : read(new byte[1], 0, 1) < 0;
  }

  /**
   * Lets go of the connection. One whose answer was read to its last byte is read to its end, which
   * waits for nothing, and can be used again.
   */
  @Override
  public void close() {
    if (answer != null) {
      BlobAnswer done = answer;
      answer = null;
      try {
        if (lengthConfirmed && position == envelope.contentLength()) {
          done.body().read();
        }
        done.body().close();
      } catch (IOException error) {
        log.debug("the connection cannot be used again", error);
      }
    }
  }

  private void open() throws IOException, InterruptedException {
    tries++;
    BlobAnswer opened = source.get(new BlobRequest(envelope, record, position, etag));
    if (opened.status() != (position > 0 ? 206 : 200)) {
      opened.body().close();
      throw refusal(opened);
    }
    if (opened.length() >= 0 && opened.length() + position != envelope.contentLength()) {
      opened.body().close();
      throw new BlobTruncatedException(
          String.format(
              "the blob %s has %d bytes, its envelope says %d",
              name(), opened.length() + position, envelope.contentLength()));
    }
    etag = opened.etag();
    lengthConfirmed = opened.length() >= 0;
    answer = opened;
  }

  /** Throws the IOException where the same may succeed later. */
  private LfsException refusal(BlobAnswer refused) throws IOException {
    int status = refused.status();
    String said = refused.said();
    Function<String, LfsException> named = PROBLEMS.get(refused.problem().orElse(""));
    if (named != null) {
      return named.apply(String.format("the proxy refuses to give the blob %s: %s", name(), said));
    }
    if (status == 404 && refused.problem().isEmpty() && !"NoSuchBucket".equals(refused.code())) {
      return new BlobMissingException(String.format("the blob %s is missing", name()));
    }
    if (RETRIED.contains(status)) {
      throw new IOException("the store answers " + said);
    }
    if (position > 0 && OTHER_OBJECT.contains(status)) {
      return new StoreUnavailableException(
          String.format("the blob %s cannot be read on after %d bytes: %s", name(), position, said),
          null);
    }
    return new StoreRefusedException(
        String.format("the store refuses to give the blob %s: %s", name(), said), null);
  }

  /** Waits before the next try, or throws after the last. */
  private void pause(IOException error) {
    checkInterrupt(error);
    failures++;
    Duration wait = retry.after(failures, Duration.ofNanos(sleeper.nanoTime() - lastProgress));
    if (wait == null) {
      throw new StoreUnavailableException(
          String.format("the blob %s cannot be read: %s", name(), error.getMessage()), error);
    }
    try {
      sleeper.sleep(wait);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      checkInterrupt(interrupted);
    }
  }

  /** Throws where the thread is interrupted. */
  private void checkInterrupt(Exception cause) {
    if (Thread.currentThread().isInterrupted()) {
      throw new ReadInterruptedException(
          String.format("the read of the blob %s was interrupted", name()), cause, true);
    }
  }

  /** Bucket and key. */
  String name() {
    return envelope.bucket() + "/" + envelope.key();
  }
}
