package io.github.lfsproxy.client;

import java.io.IOException;

/**
 * Sends the GET for a blob. The reader retries, reads on and verifies: a source only knows where
 * and how. Called by many threads at once.
 *
 * @see LfsReaderBuilder#s3Client
 * @see PresignedSource
 * @see ProxySource
 */
public interface BlobSource extends AutoCloseable {
  /**
   * Sends one GET, and returns when its head has come. Redirects are not to be followed.
   *
   * @throws IOException where the same may succeed later; it is tried again
   * @throws InterruptedException where the thread was interrupted, which ends the read
   * @throws LfsException where another try is no use
   */
  BlobAnswer get(BlobRequest request) throws IOException, InterruptedException;

  /** Whether the record's coordinates decide what is read, and not what the envelope says. */
  default boolean byRecord() {
    return false;
  }

  /** Called when the reader is closed. */
  @Override
  default void close() {}
}
