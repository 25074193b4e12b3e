package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a store has answered to a {@link BlobRequest}. */
public final class BlobAnswer {
  /** An error's body is read up to so many bytes. */
  private static final int ERROR_BYTES = 16 * 1024;

  private static final Pattern CODE = Pattern.compile("<Code>([^<]*)</Code>");

  private final int status;
  private final long length;
  private final String etag;
  private final InputStream body;
  private final String code;
  private final String problem;

  private BlobAnswer(
      int status, long length, String etag, InputStream body, String code, String problem) {
    this.status = status;
    this.length = length;
    this.etag = etag;
    this.body = body;
    this.code = code;
    this.problem = problem;
  }

  /**
   * Bytes.
   *
   * @param status 200; 206 for a part
   * @param length how many they are; -1: the store does not say
   * @param etag of the whole object; null: the store does not say
   * @param body whose close before its end gives up the connection
   */
  public static BlobAnswer bytes(int status, long length, String etag, InputStream body) {
    return new BlobAnswer(status, length, etag, body, "", null);
  }

  /**
   * No bytes.
   *
   * @param status as HTTP has it
   * @param code S3's, such as NoSuchKey; empty: none
   */
  public static BlobAnswer refused(int status, String code) {
    return new BlobAnswer(status, -1, null, InputStream.nullInputStream(), code, null);
  }

  /** What an HTTP answer that is no success says: S3's code, or the proxy's problem. */
  static BlobAnswer refused(int status, String contentType, InputStream body) throws IOException {
    byte[] bytes;
    try (body) {
      bytes = body.readNBytes(ERROR_BYTES);
    }
    if (contentType.contains("application/problem+json")) {
      Map<String, Object> problem = Json.object(bytes).orElse(Map.of());
      Object type = problem.get("type");
      if (type instanceof String) {
        String name = ((String) type).substring(((String) type).lastIndexOf('/') + 1);
        String detail = String.valueOf(problem.getOrDefault("detail", ""));
        return new BlobAnswer(status, -1, null, body, detail, name);
      }
    }
    Matcher code = CODE.matcher(new String(bytes, StandardCharsets.UTF_8));
    return refused(status, code.find() ? code.group(1) : "");
  }

  int status() {
    return status;
  }

  long length() {
    return length;
  }

  String etag() {
    return etag;
  }

  InputStream body() {
    return body;
  }

  String code() {
    return code;
  }

  /** The last part of the type of the proxy's problem, such as blob-missing. */
  Optional<String> problem() {
    return Optional.ofNullable(problem);
  }

  /** What was answered, in short. */
  String said() {
    return String.join(" ", String.valueOf(status), problem().orElse(""), code)
        .replaceAll(" +", " ")
        .strip();
  }
}
