package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** An object of the fake store: a few bytes, over and over, so that a large one takes no memory. */
public final class Blob {
  final byte[] pattern;
  final long length;
  final String etag;
  final String encoding;

  private Blob(byte[] pattern, long length, String etag, String encoding) {
    this.pattern = pattern;
    this.length = length;
    this.etag = etag;
    this.encoding = encoding;
  }

  public static Blob of(byte[] bytes) {
    return new Blob(bytes, bytes.length, "\"one\"", null);
  }

  public static Blob of(String text) {
    return of(text.getBytes(StandardCharsets.UTF_8));
  }

  /** A blob of that length, of 64 KiB that differ from each other. */
  public static Blob large(long length) {
    byte[] pattern = new byte[64 * 1024];
    for (int at = 0; at < pattern.length; at++) {
      pattern[at] = (byte) (at * 31 + at / 251);
    }
    return new Blob(pattern, length, "\"one\"", null);
  }

  public Blob etag(String changed) {
    return new Blob(pattern, length, changed, encoding);
  }

  public Blob encoding(String name) {
    return new Blob(pattern, length, etag, name);
  }

  void write(OutputStream out, long from, long end) throws IOException {
    for (long at = from; at < end; ) {
      int start = (int) (at % pattern.length);
      int count = (int) Math.min(pattern.length - start, end - at);
      out.write(pattern, start, count);
      at += count;
    }
  }

  /** The checksum of all its bytes in hex. */
  public String checksum(ChecksumAlgorithm algorithm) {
    Checksum checksum = new Checksum(algorithm);
    for (long at = 0; at < length; at += pattern.length) {
      checksum.update(pattern, 0, (int) Math.min(pattern.length, length - at));
    }
    return checksum.hex();
  }

  /** The envelope that the proxy would have published for it. */
  public byte[] envelope(String bucket, String key) {
    return String.format(
            "{\"lfs_version\":1,\"s3_bucket\":\"%s\",\"s3_key\":\"%s\",\"content_type\":"
                + "\"application/octet-stream\",\"content_length\":%d,\"checksum_algo\":\"sha256\","
                + "\"checksum\":\"%s\"}",
            bucket, key, length, checksum(ChecksumAlgorithm.SHA256))
        .getBytes(StandardCharsets.UTF_8);
  }
}
