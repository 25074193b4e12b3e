package io.github.lfsproxy.client;

/** The blob in the store has fewer or more bytes than its envelope says. */
public final class BlobTruncatedException extends LfsException {
  private static final long serialVersionUID = 1L;

  BlobTruncatedException(String message) {
    super("blob-truncated", message, null);
  }
}
