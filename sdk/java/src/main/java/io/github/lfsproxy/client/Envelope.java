package io.github.lfsproxy.client;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A claim check: where the blob is, and what its bytes must be.
 *
 * <p>The record's value is UTF-8 JSON:
 *
 * <pre>{@code
 * {"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/t/0/42-<uuid>.bin",
 *  "content_type":"image/png","content_length":10485760,"checksum_algo":"sha256","checksum":"<hex>"}
 * }</pre>
 */
public final class Envelope {
  private static final BigInteger VERSION = BigInteger.ONE;
  private static final int MAX_BYTES = 64 * 1024;
  private static final byte[] MARK = "\"lfs_version\"".getBytes(StandardCharsets.US_ASCII);

  private final String bucket;
  private final String key;
  private final String contentType;
  private final long contentLength;
  private final ChecksumAlgorithm checksumAlgorithm;
  private final String checksum;

  /** Throws InvalidEnvelopeException for a field that is missing or of the wrong type. */
  Envelope(Map<String, Object> fields) {
    bucket = text(fields, "s3_bucket");
    key = text(fields, "s3_key");
    contentType = text(fields, "content_type");
    contentLength = length(fields);
    String algorithm = text(fields, "checksum_algo");
    checksumAlgorithm =
        ChecksumAlgorithm.of(algorithm)
            .orElseThrow(() -> invalid("checksum_algo is %s", shortened(algorithm)));
    String given = text(fields, "checksum");
    if (!checksumAlgorithm.accepts(given)) {
      throw invalid("checksum %s is not %s in hex", shortened(given), algorithm);
    }
    checksum = given.toLowerCase(Locale.ROOT);
  }

  /**
   * The envelope in a record's value; empty where the value is an ordinary one.
   *
   * @throws UnsupportedEnvelopeException for a version that is newer than this library
   * @throws InvalidEnvelopeException for a value that is an envelope by its lfs_version, s3_bucket
   *     and s3_key, but lacks a field or has one of the wrong type
   */
  public static Optional<Envelope> parse(byte[] value) {
    if (value == null || !mayBe(value.length, value.length == 0 ? 0 : value[0]) || !marked(value)) {
      return Optional.empty();
    }
    Map<String, Object> fields = Json.object(value).orElse(Map.of());
    if (!(fields.get("lfs_version") instanceof BigInteger)
        || !fields.containsKey("s3_bucket")
        || !fields.containsKey("s3_key")) {
      return Optional.empty();
    }
    BigInteger version = (BigInteger) fields.get("lfs_version");
    if (version.compareTo(VERSION) > 0) {
      throw new UnsupportedEnvelopeException(
          String.format(
              "the envelope has lfs_version %s, this reader knows versions up to %s",
              shortened(version), VERSION));
    }
    if (version.signum() < 1) {
      throw invalid("lfs_version is %s", shortened(version));
    }
    return Optional.of(new Envelope(fields));
  }

  /** Whether a value of that many bytes and that first byte is worth a look. */
  public static boolean mayBe(int length, byte first) {
    return length < MAX_BYTES && first == '{';
  }

  private static boolean marked(byte[] value) {
    for (int at = 1; at <= value.length - MARK.length; at++) {
      int same = 0;
      while (same < MARK.length && value[at + same] == MARK[same]) {
        same++;
      }
      if (same == MARK.length) {
        return true;
      }
    }
    return false;
  }

  private static String text(Map<String, Object> fields, String name) {
    Object value = fields.get(name);
    if (!(value instanceof String)) {
      throw invalid("%s is %s, a string is needed", name, shortened(value));
    }
    if (!StandardCharsets.UTF_8.newEncoder().canEncode((String) value)) {
      throw invalid("%s %s has half of a surrogate pair", name, shortened(value));
    }
    return (String) value;
  }

  private static long length(Map<String, Object> fields) {
    Object value = fields.get("content_length");
    if (!(value instanceof BigInteger) || ((BigInteger) value).signum() < 0) {
      throw invalid("content_length is %s, a count of bytes is needed", shortened(value));
    }
    // No store holds more than a long counts: such a blob is larger than any limit, and never
    // there.
    return ((BigInteger) value).min(BigInteger.valueOf(Long.MAX_VALUE)).longValue();
  }

  private static InvalidEnvelopeException invalid(String format, Object... arguments) {
    return new InvalidEnvelopeException("the envelope's " + String.format(format, arguments));
  }

  private static String shortened(Object value) {
    String text = String.valueOf(value);
    return text.length() <= 80 ? text : text.substring(0, 80) + "...";
  }

  /** The bucket that holds the blob. */
  public String bucket() {
    return bucket;
  }

  /** The object's key, to be used as it is. */
  public String key() {
    return key;
  }

  /** The media type that the producer gave. */
  public String contentType() {
    return contentType;
  }

  /** The blob's length in bytes. */
  public long contentLength() {
    return contentLength;
  }

  /** The algorithm of {@link #checksum}. */
  public ChecksumAlgorithm checksumAlgorithm() {
    return checksumAlgorithm;
  }

  /** The blob's checksum in lower-case hex. */
  public String checksum() {
    return checksum;
  }

  @Override
  public String toString() {
    return String.format("%s/%s (%d bytes)", bucket, key, contentLength);
  }
}
