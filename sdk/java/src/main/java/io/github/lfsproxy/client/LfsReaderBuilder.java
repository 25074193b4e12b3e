package io.github.lfsproxy.client;

import java.net.URI;
import java.net.URISyntaxException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;

/** The options of an {@link LfsReader}. */
public final class LfsReaderBuilder {
  private static final Set<String> TRUE = Set.of("true", "1", "yes", "on");
  private static final Set<String> FALSE = Set.of("false", "0", "no", "off");

  private String bucket;
  private String endpoint;
  private String region = "us-east-1";
  private boolean pathStyle;
  private AwsCredentialsProvider credentials;
  private Duration connectTimeout = Duration.ofSeconds(5);
  private Duration readTimeout = Duration.ofSeconds(60);
  private Collection<String> buckets;
  Collection<String> prefixes = List.of("lfs/");
  long maxSize;
  OnMissing onMissing = OnMissing.RAISE;
  Consumer<Resolution> onResolve;
  Sleeper sleeper = time -> Thread.sleep(time.toMillis());

  LfsReaderBuilder() {}

  /**
   * Takes bucket, endpoint, region and path style from LFS_S3_BUCKET, LFS_S3_ENDPOINT,
   * LFS_S3_REGION and LFS_S3_PATH_STYLE, with the proxy's defaults.
   *
   * @throws IllegalArgumentException for a variable that cannot be used
   */
  public LfsReaderBuilder environment(Map<String, String> environment) {
    bucket = variable(environment, "LFS_S3_BUCKET", "kafscale");
    endpoint = variable(environment, "LFS_S3_ENDPOINT", null);
    checkEndpoint("LFS_S3_ENDPOINT", endpoint);
    region = variable(environment, "LFS_S3_REGION", "us-east-1");
    pathStyle = flag("LFS_S3_PATH_STYLE", variable(environment, "LFS_S3_PATH_STYLE", "false"));
    return this;
  }

  private static String variable(Map<String, String> environment, String name, String otherwise) {
    String text = environment.get(name);
    return text == null || text.isEmpty() ? otherwise : text;
  }

  private static boolean flag(String name, String text) {
    String value = text.strip().toLowerCase(Locale.ROOT);
    if (TRUE.contains(value) || FALSE.contains(value)) {
      return TRUE.contains(value);
    }
    throw new IllegalArgumentException(
        String.format("%s is %s: true or false is needed", name, text));
  }

  private static void checkEndpoint(String name, String text) {
    if (text != null && !text.isEmpty() && !isPlace(text)) {
      throw new IllegalArgumentException(
          String.format(
              "%s is %s: a URL such as http://localhost:9000 without a path, query or user name is"
                  + " needed",
              name, text));
    }
  }

  private static boolean isPlace(String text) {
    try {
      URI url = new URI(text);
      String place = url.getRawAuthority();
      return ("http".equals(url.getScheme()) || "https".equals(url.getScheme()))
          && place != null
          && !place.contains("@")
          && (url.getRawPath().isEmpty() || url.getRawPath().equals("/"))
          && url.getRawQuery() == null;
    } catch (URISyntaxException error) {
      return false;
    }
  }

  /** The bucket that holds the blobs. */
  public LfsReaderBuilder bucket(String bucket) {
    this.bucket = bucket;
    return this;
  }

  /** The URL of an S3-compatible store; null (default): AWS. */
  public LfsReaderBuilder endpoint(String endpoint) {
    this.endpoint = endpoint;
    return this;
  }

  /** The region. Default us-east-1. */
  public LfsReaderBuilder region(String region) {
    this.region = region;
    return this;
  }

  /** Whether the bucket goes into the URL's path, not into its host name. Default false. */
  public LfsReaderBuilder pathStyle(boolean pathStyle) {
    this.pathStyle = pathStyle;
    return this;
  }

  /**
   * Where credentials come from; null (default): the AWS SDK's usual places. Not closed by the
   * reader.
   */
  public LfsReaderBuilder credentials(AwsCredentialsProvider credentials) {
    this.credentials = credentials;
    return this;
  }

  /** The buckets that envelopes may point to. Default: the bucket. */
  public LfsReaderBuilder buckets(Collection<String> buckets) {
    this.buckets = List.copyOf(buckets);
    return this;
  }

  /** The beginnings of keys that envelopes may point to. Default: {@code lfs/}. */
  public LfsReaderBuilder prefixes(Collection<String> prefixes) {
    this.prefixes = List.copyOf(prefixes);
    return this;
  }

  /** As {@link #prefixes(Collection)}. */
  public LfsReaderBuilder prefixes(String... prefixes) {
    return prefixes(Arrays.asList(prefixes));
  }

  /** The most bytes that a blob may have; 0 (default): unlimited. */
  public LfsReaderBuilder maxSize(long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException("maxSize is " + bytes + ", 0 or more is needed");
    }
    maxSize = bytes;
    return this;
  }

  /** What becomes of an envelope without its blob. Default {@link OnMissing#RAISE}. */
  public LfsReaderBuilder onMissing(OnMissing onMissing) {
    this.onMissing = onMissing;
    return this;
  }

  /** Called after every envelope, in the reading thread; what it throws is logged. */
  public LfsReaderBuilder onResolve(Consumer<Resolution> hook) {
    onResolve = hook;
    return this;
  }

  /** How long to wait for a connection. Default 5 s. */
  public LfsReaderBuilder connectTimeout(Duration timeout) {
    connectTimeout = timeout;
    return this;
  }

  /** How long the store may send nothing. Default 60 s. */
  public LfsReaderBuilder readTimeout(Duration timeout) {
    readTimeout = timeout;
    return this;
  }

  LfsReaderBuilder sleeper(Sleeper sleeper) {
    this.sleeper = sleeper;
    return this;
  }

  /**
   * The reader.
   *
   * @throws IllegalArgumentException where no bucket is set or the endpoint is no URL
   */
  public LfsReader build() {
    if (bucket == null || bucket.isEmpty()) {
      throw new IllegalArgumentException("a bucket is needed");
    }
    checkEndpoint("endpoint", endpoint);
    return new LfsReader(this);
  }

  Set<String> allowedBuckets() {
    return buckets == null ? Set.of(bucket) : Set.copyOf(buckets);
  }

  Store store() {
    return new Store(endpoint, region, pathStyle, credentials, connectTimeout, readTimeout);
  }
}
