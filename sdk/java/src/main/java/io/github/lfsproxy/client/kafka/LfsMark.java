package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.ChecksumAlgorithm;
import java.util.Optional;

/**
 * How a record asks the proxy to offload its value.
 *
 * <pre>{@code
 * LfsMark.blob()
 * LfsMark.blob().contentType("image/png")
 * LfsMark.of(value, ChecksumAlgorithm.SHA256)   // and the proxy refuses other bytes
 * }</pre>
 */
public final class LfsMark {
  private static final LfsMark BLOB = new LfsMark(null, null, null);

  private final ChecksumAlgorithm algorithm;
  private final String expected;
  private final String contentType;

  private LfsMark(ChecksumAlgorithm algorithm, String expected, String contentType) {
    this.algorithm = algorithm;
    this.expected = expected;
    this.contentType = contentType;
  }

  /** Offload the value; the proxy chooses the checksum. */
  public static LfsMark blob() {
    return BLOB;
  }

  /** Offload this value, which must arrive as it is here: its checksum goes with it. */
  public static LfsMark of(byte[] value, ChecksumAlgorithm algorithm) {
    return BLOB.expecting(algorithm, algorithm.hex(value));
  }

  /** The same with this algorithm for the envelope's checksum, and no expectation. */
  public LfsMark algorithm(ChecksumAlgorithm algorithm) {
    return new LfsMark(algorithm, null, contentType);
  }

  /**
   * The same with the checksum that the value must have.
   *
   * @param hex in hex digits
   * @throws IllegalArgumentException where it is no checksum of that algorithm
   */
  public LfsMark expecting(ChecksumAlgorithm algorithm, String hex) {
    algorithm.check(hex);
    return new LfsMark(algorithm, hex, contentType);
  }

  /** The same with the media type of the value. */
  public LfsMark contentType(String type) {
    return new LfsMark(algorithm, expected, type);
  }

  Optional<ChecksumAlgorithm> algorithm() {
    return Optional.ofNullable(algorithm);
  }

  Optional<String> expected() {
    return Optional.ofNullable(expected);
  }

  Optional<String> contentType() {
    return Optional.ofNullable(contentType);
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(LfsHeaders.BLOB + "=" + expected().orElse(""));
    algorithm().ifPresent(id -> text.append(", " + LfsHeaders.ALGORITHM + "=" + id.id()));
    contentType().ifPresent(type -> text.append(", " + LfsHeaders.CONTENT_TYPE + "=" + type));
    return text.toString();
  }
}
