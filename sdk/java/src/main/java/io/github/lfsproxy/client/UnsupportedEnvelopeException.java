package io.github.lfsproxy.client;

/** An envelope of a version that is newer than this library. */
public final class UnsupportedEnvelopeException extends InvalidEnvelopeException {
  private static final long serialVersionUID = 1L;

  UnsupportedEnvelopeException(String message) {
    super("unsupported-envelope", message);
  }
}
