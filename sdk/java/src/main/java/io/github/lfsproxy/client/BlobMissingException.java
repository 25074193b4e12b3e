package io.github.lfsproxy.client;

/** The blob is not in the store. */
public final class BlobMissingException extends LfsException {
  private static final long serialVersionUID = 1L;

  BlobMissingException(String message) {
    super("blob-missing", message, null);
  }
}
