package io.github.lfsproxy.client;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.zip.CRC32;

/** A checksum that is being computed. */
final class Checksum {
  private final MessageDigest digest;
  private final CRC32 crc = new CRC32();

  Checksum(ChecksumAlgorithm algorithm) {
    digest = algorithm == ChecksumAlgorithm.CRC32 ? null : digest(algorithm);
  }

  private static MessageDigest digest(ChecksumAlgorithm algorithm) {
    try {
      return MessageDigest.getInstance(algorithm == ChecksumAlgorithm.MD5 ? "MD5" : "SHA-256");
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException("this Java runtime has no " + algorithm.id(), error);
    }
  }

  void update(byte[] data, int offset, int length) {
    if (digest == null) {
      crc.update(data, offset, length);
    } else {
      digest.update(data, offset, length);
    }
  }

  /** The checksum in lower-case hex; afterwards this object is used up. */
  String hex() {
    if (digest == null) {
      return String.format("%08x", crc.getValue());
    }
    StringBuilder hex = new StringBuilder();
    for (byte value : digest.digest()) {
      hex.append(Character.forDigit(value >> 4 & 15, 16))
          .append(Character.forDigit(value & 15, 16));
    }
    return hex.toString();
  }
}
