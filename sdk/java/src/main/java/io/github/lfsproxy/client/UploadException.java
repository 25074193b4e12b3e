package io.github.lfsproxy.client;

import java.time.Duration;
import java.util.Optional;
import java.util.Set;

/**
 * An upload over HTTP that failed.
 *
 * <p>Its name is that of the proxy's problem (RFC 9457), the last part of its type: too-large,
 * checksum-mismatch, unknown-topic, outcome-unknown and so on; or one of this library's own:
 * proxy-unavailable (the proxy could not be reached, or a gateway answered 503 in its place:
 * nothing was published), outcome-unknown (the connection was lost after the last byte was sent,
 * the answer is not readable, or a gateway answered 504: the record may have been published, and a
 * blind retry would publish it twice), unexpected-answer (what answers is not the proxy, or of a
 * newer kind).
 */
public final class UploadException extends LfsException {
  private static final long serialVersionUID = 1L;
  private static final Set<Integer> RETRIABLE = Set.of(408, 429, 503);

  private final int status;
  private final Duration retryAfter;
  private final boolean retriable;

  private UploadException(
      String name,
      String message,
      int status,
      Duration retryAfter,
      boolean retriable,
      Throwable cause) {
    super(name, message, cause);
    this.status = status;
    this.retryAfter = retryAfter;
    this.retriable = retriable;
  }

  static UploadException problem(String name, String detail, int status, Duration retryAfter) {
    return new UploadException(name, detail, status, retryAfter, RETRIABLE.contains(status), null);
  }

  /** An answer without a problem: of a gateway, or of no proxy at all. */
  static UploadException unnamed(int status, Duration retryAfter) {
    String name =
        status == 503
            ? "proxy-unavailable"
            : status == 504 ? "outcome-unknown" : "unexpected-answer";
    String message = "the upload was answered with " + status;
    return new UploadException(name, message, status, retryAfter, RETRIABLE.contains(status), null);
  }

  static UploadException unreadable(int status, Throwable cause) {
    return new UploadException(
        "outcome-unknown",
        "the answer to the upload is not readable, the record may have been published: " + cause,
        status,
        null,
        false,
        cause);
  }

  static UploadException proxyUnavailable(Throwable cause) {
    return new UploadException(
        "proxy-unavailable",
        "the upload did not reach the proxy, nothing was published: " + cause,
        0,
        null,
        true,
        cause);
  }

  static UploadException outcomeUnknown(Throwable cause) {
    return new UploadException(
        "outcome-unknown",
        "the proxy's answer was lost, the record may have been published: " + cause,
        0,
        null,
        false,
        cause);
  }

  /** The HTTP status; 0 where there was no answer. */
  public int status() {
    return status;
  }

  /** How long the proxy asks to wait before the next try. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  @Override
  public boolean retriable() {
    return retriable;
  }
}
