package io.github.lfsproxy.client;

/** A blob of more bytes than the reader's limit, or than a Java array holds. */
public final class TooLargeException extends LfsException {
  private static final long serialVersionUID = 1L;

  TooLargeException(String message) {
    super("too-large", message, null);
  }
}
