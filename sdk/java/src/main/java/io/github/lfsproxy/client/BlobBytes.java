package io.github.lfsproxy.client;

import java.io.IOException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.exception.AbortedException;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;

/**
 * The bytes of one blob in their order, not verified: retried before the first byte, and taken up
 * again where they stopped.
 *
 * <p>A dropped connection is followed by a ranged GET from the next byte on, tied to the same
 * object by If-Match. Tries are counted from the last progress, so that a long download may be
 * interrupted often.
 */
final class BlobBytes implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(BlobBytes.class);
  static final int TRIES = 5;
  private static final Duration FIRST_PAUSE = Duration.ofMillis(200);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);
  private static final Set<Integer> RETRIED = Set.of(408, 429, 500, 502, 503, 504);

  private final Store store;
  private final Sleeper sleeper;
  private final Envelope envelope;
  private ResponseInputStream<GetObjectResponse> response;
  private Long responseEnd;
  private String etag;
  private long position;
  private int failures;

  BlobBytes(Store store, Sleeper sleeper, Envelope envelope) {
    this.store = store;
    this.sleeper = sleeper;
    this.envelope = envelope;
  }

  /**
   * Sends the GET, where none is open.
   *
   * @throws BlobMissingException where the store has no such object
   * @throws BlobTruncatedException where the object is not of the envelope's length
   * @throws StoreRefusedException where the store says no
   * @throws StoreUnavailableException after the last try
   */
  void start() {
    while (response == null) {
      try {
        open();
      } catch (AbortedException error) {
        throw unavailable(error);
      } catch (AwsServiceException error) {
        if (!RETRIED.contains(error.statusCode())) {
          throw refusal(error);
        }
        pause(error);
      } catch (SdkClientException error) {
        if (!causedByTransport(error)) {
          throw new StoreRefusedException(
              String.format("the blob %s cannot be asked for: %s", name(), error.getMessage()),
              error);
        }
        pause(error);
      }
    }
  }

  /**
   * Up to {@code length} next bytes; -1 at the end of what the store sends. Throws as start does.
   */
  int read(byte[] buffer, int offset, int length) {
    while (true) {
      start();
      try {
        int count = response.read(buffer, offset, length);
        if (count > 0) {
          failures = 0;
          position += count;
        } else if (responseEnd != null && position < responseEnd) {
          throw new IOException("the connection was closed in the middle of the answer");
        }
        return count;
      } catch (IOException | SdkClientException error) {
        close();
        pause(error);
      }
    }
  }

  /** Whether the store has said that the blob has the envelope's length. */
  boolean lengthConfirmed() {
    return responseEnd != null;
  }

  /** Whether nothing follows the bytes that were read. Throws as start does. */
  boolean ended() {
    start();
    return responseEnd == null ? read(new byte[1], 0, 1) < 0 : position == responseEnd;
  }

  /** Lets go of the connection, without reading what is left of the answer. */
  @Override
  public void close() {
    if (response != null) {
      if (responseEnd == null || position < responseEnd) {
        response.abort();
      } else {
        release();
      }
      response = null;
    }
  }

  /** Gives the connection back for reuse. */
  private void release() {
    try {
      response.close();
    } catch (IOException error) {
      log.debug("the connection cannot be used again", error);
    }
  }

  private void open() {
    ResponseInputStream<GetObjectResponse> opened = store.get(envelope, position, etag);
    GetObjectResponse head = opened.response();
    int status = head.sdkHttpResponse().statusCode();
    if (status != (position > 0 ? 206 : 200)) {
      opened.abort();
      throw changed(String.valueOf(status), null);
    }
    Long length = head.contentLength();
    if (length != null && length + position != envelope.contentLength()) {
      opened.abort();
      throw new BlobTruncatedException(
          String.format(
              "the blob %s has %d bytes, its envelope says %d",
              name(), length + position, envelope.contentLength()));
    }
    etag = head.eTag();
    responseEnd = length == null ? null : envelope.contentLength();
    response = opened;
  }

  private LfsException refusal(AwsServiceException error) {
    String code = error.awsErrorDetails() == null ? null : error.awsErrorDetails().errorCode();
    int status = error.statusCode();
    if (status == 404 && !"NoSuchBucket".equals(code)) {
      return new BlobMissingException(String.format("the blob %s is missing", name()));
    }
    String said = code == null ? String.valueOf(status) : status + " " + code;
    if (position > 0 && (status == 412 || status == 416)) {
      return changed(said, error);
    }
    return new StoreRefusedException(
        String.format("the store refuses to give the blob %s: %s", name(), said), error);
  }

  private LfsException changed(String said, Throwable cause) {
    if (position > 0) {
      return new StoreUnavailableException(
          String.format("the blob %s cannot be read on after %d bytes: %s", name(), position, said),
          cause);
    }
    return new StoreRefusedException(
        String.format("the store refuses to give the blob %s: %s", name(), said), cause);
  }

  private static boolean causedByTransport(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof IOException) {
        return true;
      }
    }
    return false;
  }

  /** Waits before the next try, or throws after the last. */
  private void pause(Exception error) {
    failures++;
    if (failures >= TRIES) {
      throw unavailable(error);
    }
    long doubled = FIRST_PAUSE.toMillis() << (failures - 1);
    long longest = Math.min(LONGEST_PAUSE.toMillis(), doubled);
    try {
      sleeper.sleep(
          Duration.ofMillis(ThreadLocalRandom.current().nextLong(longest / 2, longest + 1)));
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw unavailable(interrupted);
    }
  }

  private StoreUnavailableException unavailable(Exception error) {
    String reason = error instanceof InterruptedException ? "interrupted" : error.getMessage();
    return new StoreUnavailableException(
        String.format("the blob %s cannot be read: %s", name(), reason), error);
  }

  /** Bucket and key. */
  String name() {
    return envelope.bucket() + "/" + envelope.key();
  }
}
