package io.github.lfsproxy.client;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/** What is asked of the record that an upload becomes. Each method returns a changed copy. */
public final class UploadOptions {
  private static final UploadOptions NONE = new UploadOptions(List.of(), null, false);

  private final List<String> query;
  private final String contentType;
  private final boolean named;

  private UploadOptions(List<String> query, String contentType, boolean named) {
    this.query = query;
    this.contentType = contentType;
    this.named = named;
  }

  /** Nothing in particular. */
  public static UploadOptions none() {
    return NONE;
  }

  private UploadOptions with(String name, String value) {
    List<String> more = new ArrayList<>(query);
    more.add(name + "=" + encode(value));
    return new UploadOptions(List.copyOf(more), contentType, named);
  }

  static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }

  /** The record's key. */
  public UploadOptions key(byte[] key) {
    return with("key_base64", Base64.getUrlEncoder().withoutPadding().encodeToString(key));
  }

  /** The record's key, as UTF-8. */
  public UploadOptions key(String key) {
    return key(key.getBytes(StandardCharsets.UTF_8));
  }

  /** The partition; without it the proxy chooses as Kafka's own partitioner does. */
  public UploadOptions partition(int partition) {
    return with("partition", Integer.toString(partition));
  }

  /** One more record header. */
  public UploadOptions header(String name, String value) {
    return with("header", name + ":" + value);
  }

  /** The record's timestamp in milliseconds since 1970. */
  public UploadOptions timestamp(long milliseconds) {
    return with("timestamp", Long.toString(milliseconds));
  }

  /** The algorithm of the envelope's checksum, with no expectation. */
  public UploadOptions checksumAlgorithm(ChecksumAlgorithm algorithm) {
    return with("checksum_algo", algorithm.id());
  }

  /** The checksum that the bytes must have, in hex; the proxy publishes nothing else. */
  public UploadOptions checksum(ChecksumAlgorithm algorithm, String hex) {
    return checksumAlgorithm(algorithm).with("checksum", hex);
  }

  /** The media type. Default application/octet-stream. */
  public UploadOptions contentType(String type) {
    return new UploadOptions(query, type, named).with("content_type", type);
  }

  /** The file's name, which becomes the record header lfs-filename; a file's own is the default. */
  public UploadOptions filename(String name) {
    UploadOptions header = header("lfs-filename", name);
    return new UploadOptions(header.query, contentType, true);
  }

  boolean hasFilename() {
    return named;
  }

  String query() {
    return query.isEmpty() ? "" : "?" + String.join("&", query);
  }
}
