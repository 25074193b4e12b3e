package io.github.lfsproxy.client;

/** The blob's bytes are not those that were published. */
public final class ChecksumMismatchException extends LfsException {
  private static final long serialVersionUID = 1L;

  ChecksumMismatchException(String message) {
    super("checksum-mismatch", message, null);
  }

  ChecksumMismatchException(ChecksumAlgorithm algorithm, String expected, String actual) {
    this(
        String.format(
            "the %s of the blob is %s, its envelope says %s", algorithm.id(), actual, expected));
  }
}
