package io.github.lfsproxy.client;

/** An envelope that points to a bucket or key which this reader may not follow. */
public final class EnvelopeNotAllowedException extends LfsException {
  private static final long serialVersionUID = 1L;

  EnvelopeNotAllowedException(String message) {
    super("envelope-not-allowed", message, null);
  }
}
