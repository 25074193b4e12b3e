package io.github.lfsproxy.client;

/** The blob's bytes are not those that were published. */
public final class ChecksumMismatchException extends LfsException {
  private static final long serialVersionUID = 1L;

  ChecksumMismatchException(ChecksumAlgorithm algorithm, String expected, String actual) {
    super(
        "checksum-mismatch",
        String.format(
            "the %s of the blob is %s, its envelope says %s", algorithm.id(), actual, expected),
        null);
  }
}
