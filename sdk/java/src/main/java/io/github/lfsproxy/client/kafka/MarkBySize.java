package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.ChecksumAlgorithm;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** Marks values of some size for the proxy to offload. */
public final class MarkBySize {
  /** Mark values of at least that many bytes; 0: all; -1: none. */
  public static final String MIN_SIZE = "lfs.mark.min.size";

  /** The checksum that goes with a mark: true (sha256), sha256, crc32, md5, or false. */
  public static final String CHECKSUM = "lfs.mark.checksum";

  /** What {@link #MIN_SIZE} is in a serializer: less than what a broker takes by default. */
  public static final long DEFAULT_MIN_SIZE = 1_000_000;

  private final long minSize;
  private final ChecksumAlgorithm checksum;

  private MarkBySize(long minSize, ChecksumAlgorithm checksum) {
    this.minSize = minSize;
    this.checksum = checksum;
  }

  /**
   * Values of at least that many bytes.
   *
   * @param minSize 0: all; -1: none
   */
  public static MarkBySize of(long minSize) {
    if (minSize < -1) {
      throw new IllegalArgumentException("minSize is " + minSize + ", -1 or more is needed");
    }
    return new MarkBySize(minSize, null);
  }

  /** The same; the proxy refuses a value whose checksum is not the one from here. */
  public MarkBySize checksum(ChecksumAlgorithm algorithm) {
    return new MarkBySize(minSize, algorithm);
  }

  /** Adds the two properties to others. */
  public static ConfigDef define(ConfigDef definition, long defaultMinSize) {
    return definition
        .define(
            MIN_SIZE,
            Type.LONG,
            defaultMinSize,
            ConfigDef.Range.atLeast(-1),
            Importance.HIGH,
            "Values of at least so many bytes are marked for the proxy to offload. 0 marks all"
                + " values, -1 none. Needs the proxy between this client and the broker.")
        .define(
            CHECKSUM,
            Type.STRING,
            "false",
            ConfigDef.ValidString.in("false", "true", "none", "sha256", "crc32", "md5"),
            Importance.LOW,
            "The checksum that goes with a mark, so that the proxy refuses a value that was damaged"
                + " on its way. true is sha256; false or none sends no checksum.");
  }

  /** By the two properties. */
  public static MarkBySize of(AbstractConfig config) {
    String named = config.getString(CHECKSUM);
    return new MarkBySize(
        config.getLong(MIN_SIZE),
        ChecksumAlgorithm.of("true".equals(named) ? "sha256" : named).orElse(null));
  }

  /**
   * Marks the value where it is large enough. A mark of the application stays as it is; one that
   * this set for another value of the same headers (as Kafka Streams hands them on) goes.
   *
   * @param value null: a tombstone, which is never marked
   */
  public void mark(Headers headers, byte[] value) {
    if (minSize < 0) {
      return;
    }
    Header mark = headers.lastHeader(LfsHeaders.BLOB);
    if (mark instanceof Own) {
      headers.remove(LfsHeaders.BLOB);
      headers.remove(LfsHeaders.ALGORITHM);
    } else if (mark != null) {
      return;
    }
    if (value != null && value.length >= minSize) {
      headers.remove(LfsHeaders.ALGORITHM);
      headers.add(new Own(checksum == null ? "" : checksum.hex(value)));
      if (checksum != null) {
        headers.add(LfsHeaders.ALGORITHM, checksum.id().getBytes(StandardCharsets.UTF_8));
      }
    }
  }

  @Override
  public String toString() {
    return Map.of(MIN_SIZE, minSize, CHECKSUM, checksum == null ? "false" : checksum.id())
        .toString();
  }

  /** A header that is told from the application's own. */
  private static final class Own implements Header {
    private final byte[] expected;

    Own(String expected) {
      this.expected = expected.getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public String key() {
      return LfsHeaders.BLOB;
    }

    @Override
    public byte[] value() {
      return expected;
    }
  }
}
