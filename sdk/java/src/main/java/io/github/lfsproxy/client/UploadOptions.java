package io.github.lfsproxy.client;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.LongConsumer;

/** What is asked of the record that an upload becomes. Each method returns a changed copy. */
public final class UploadOptions {
  private static final UploadOptions NONE = new UploadOptions(Map.of(), List.of(), bytes -> {});
  private static final String FILENAME = "lfs-filename:";

  private final Map<String, String> options;
  private final List<String> headers;
  private final LongConsumer onProgress;

  private UploadOptions(
      Map<String, String> options, List<String> headers, LongConsumer onProgress) {
    this.options = options;
    this.headers = headers;
    this.onProgress = onProgress;
  }

  /** Nothing in particular. */
  public static UploadOptions none() {
    return NONE;
  }

  private UploadOptions with(String name, String value) {
    Map<String, String> more = new TreeMap<>(options);
    more.put(name, value);
    return new UploadOptions(more, headers, onProgress);
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
    List<String> more = new ArrayList<>(headers);
    more.add(name + ":" + value);
    return new UploadOptions(options, more, onProgress);
  }

  /** The record's timestamp in milliseconds since 1970. */
  public UploadOptions timestamp(long milliseconds) {
    return with("timestamp", Long.toString(milliseconds));
  }

  /** The algorithm of the envelope's checksum, with no expectation. */
  public UploadOptions checksumAlgorithm(ChecksumAlgorithm algorithm) {
    UploadOptions changed = with("checksum_algo", algorithm.id());
    changed.options.remove("checksum");
    return changed;
  }

  /**
   * The checksum that the bytes must have, in hex; the proxy publishes nothing else.
   *
   * @throws IllegalArgumentException where it is no checksum of that algorithm
   */
  public UploadOptions checksum(ChecksumAlgorithm algorithm, String hex) {
    algorithm.check(hex);
    return with("checksum_algo", algorithm.id()).with("checksum", hex);
  }

  /** The media type. Default application/octet-stream. */
  public UploadOptions contentType(String type) {
    return with("content_type", type);
  }

  /** The file's name, which becomes the record header lfs-filename; a file's own is the default. */
  public UploadOptions filename(String name) {
    List<String> others = new ArrayList<>(headers);
    others.removeIf(header -> header.startsWith(FILENAME));
    others.add(FILENAME + name);
    return new UploadOptions(options, others, onProgress);
  }

  /**
   * Told the bytes so far, as they are sent, in a thread of the HTTP client; the last call has the
   * whole length. What it throws ends the upload.
   */
  public UploadOptions onProgress(LongConsumer progress) {
    return new UploadOptions(options, headers, Objects.requireNonNull(progress, "progress"));
  }

  LongConsumer onProgress() {
    return onProgress;
  }

  boolean hasFilename() {
    return headers.stream().anyMatch(header -> header.startsWith(FILENAME));
  }

  /** The options as a URL's query, with its question mark; empty where there are none. */
  String query() {
    List<String> query = new ArrayList<>();
    options.forEach((name, value) -> query.add(name + "=" + encode(value)));
    headers.forEach(header -> query.add("header=" + encode(header)));
    return query.isEmpty() ? "" : "?" + String.join("&", query);
  }

  /** The options as they are sent, so with the record's key and headers. */
  @Override
  public String toString() {
    return "options" + query();
  }
}
