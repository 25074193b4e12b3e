package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;

/** The checksum algorithms of envelopes. */
public enum ChecksumAlgorithm {
  /** SHA-256, 64 hex digits. */
  SHA256(64),
  /** CRC-32 of IEEE 802.3, 8 hex digits. */
  CRC32(8),
  /** MD5, 32 hex digits. */
  MD5(32);

  private static final Pattern HEX = Pattern.compile("[0-9a-fA-F]*");

  private final int digits;

  ChecksumAlgorithm(int digits) {
    this.digits = digits;
  }

  /** The name in envelopes and headers: sha256, crc32 or md5. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The algorithm of that very name; empty for any other. */
  public static Optional<ChecksumAlgorithm> of(String id) {
    for (ChecksumAlgorithm algorithm : values()) {
      if (algorithm.id().equals(id)) {
        return Optional.of(algorithm);
      }
    }
    return Optional.empty();
  }

  /** The checksum of these bytes, lower-case hex. */
  public String hex(byte[] data) {
    Checksum checksum = new Checksum(this);
    checksum.update(data, 0, data.length);
    return checksum.hex();
  }

  /** The checksum of a file's bytes, lower-case hex. Reads the file. */
  public String hex(Path file) throws IOException {
    Checksum checksum = new Checksum(this);
    byte[] chunk = new byte[64 * 1024];
    try (InputStream in = Files.newInputStream(file)) {
      for (int count = in.read(chunk); count >= 0; count = in.read(chunk)) {
        checksum.update(chunk, 0, count);
      }
    }
    return checksum.hex();
  }

  /** Whether the text is a checksum of this algorithm in hex, of either case. */
  boolean accepts(String hex) {
    return hex.length() == digits && HEX.matcher(hex).matches();
  }

  /**
   * Refuses what is no checksum of this algorithm. An empty one would ask the proxy to verify
   * nothing.
   *
   * @throws IllegalArgumentException for a text that is not in hex of this algorithm's length
   */
  public void check(String hex) {
    if (!accepts(hex)) {
      throw new IllegalArgumentException(
          String.format("a %s checksum is %d hex digits, got \"%.80s\"", id(), digits, hex));
    }
  }
}
