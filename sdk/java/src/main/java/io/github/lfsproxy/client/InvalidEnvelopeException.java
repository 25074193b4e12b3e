package io.github.lfsproxy.client;

/** An envelope that lacks a field, or has one of the wrong type. */
public class InvalidEnvelopeException extends LfsException {
  private static final long serialVersionUID = 1L;

  InvalidEnvelopeException(String message) {
    this("invalid-envelope", message);
  }

  InvalidEnvelopeException(String name, String message) {
    super(name, message, null);
  }
}
