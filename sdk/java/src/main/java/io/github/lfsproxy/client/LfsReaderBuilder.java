package io.github.lfsproxy.client;

import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Consumer;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.services.s3.S3Client;

/** The options of an {@link LfsReader}. */
public final class LfsReaderBuilder {
  private static final Set<String> TRUE = Set.of("true", "1", "yes", "on");
  private static final Set<String> FALSE = Set.of("false", "0", "no", "off");
  private static final String DEFAULT_REGION = "us-east-1";
  private static final List<String> REGIONS =
      List.of("LFS_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION");
  private static final List<String> AUTHORITIES = List.of("LFS_S3_CA", "AWS_CA_BUNDLE");

  private String bucket;
  private String endpoint;
  private String region = DEFAULT_REGION;
  private boolean pathStyle;
  private AwsCredentialsProvider credentials;
  private String ca;
  private String caName = "ca";
  private BlobSource given;
  private Duration connectTimeout = Duration.ofSeconds(5);
  private Duration readTimeout = Duration.ofSeconds(60);
  private int tries = 5;
  private Duration pause = Duration.ofMillis(200);
  private Duration retryTime = Duration.ZERO;
  private Collection<String> buckets;
  Collection<String> prefixes = List.of("lfs/");
  OptionalLong maxSize = OptionalLong.empty();
  OnMissing onMissing = OnMissing.RAISE;
  Consumer<Resolution> onResolve;
  Sleeper sleeper = time -> Thread.sleep(time.toMillis());

  LfsReaderBuilder() {}

  /**
   * Takes the proxy's own variables, with its defaults: LFS_S3_BUCKET, LFS_S3_ENDPOINT,
   * LFS_S3_REGION (else AWS_REGION, AWS_DEFAULT_REGION), LFS_S3_PATH_STYLE, and LFS_S3_CA (else
   * AWS_CA_BUNDLE). An empty one counts as not set.
   *
   * @throws IllegalArgumentException for a variable that cannot be used
   */
  public LfsReaderBuilder environment(Map<String, String> environment) {
    bucket = variable(environment, "LFS_S3_BUCKET", "kafscale");
    endpoint = variable(environment, "LFS_S3_ENDPOINT", null);
    checkEndpoint("LFS_S3_ENDPOINT", endpoint);
    region =
        REGIONS.stream()
            .map(name -> variable(environment, name, null))
            .filter(Objects::nonNull)
            .findFirst()
            .orElse(DEFAULT_REGION);
    pathStyle = flag("LFS_S3_PATH_STYLE", variable(environment, "LFS_S3_PATH_STYLE", "false"));
    for (String name : AUTHORITIES) {
      if (ca == null && variable(environment, name, null) != null) {
        ca = environment.get(name);
        caName = name;
      }
    }
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
              "%s is %s: an http or https URL such as http://localhost:9000, without a path, query"
                  + " or user name, is needed",
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
          && url.getRawQuery() == null
          && url.getRawFragment() == null;
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

  /**
   * A file of PEM certificates: the authorities to trust for an https endpoint, in place of those
   * that the Java runtime trusts. For a {@link #source} or {@link #s3Client} of your own, these
   * decide.
   */
  public LfsReaderBuilder ca(Path file) {
    ca = file.toString();
    caName = "ca";
    return this;
  }

  /**
   * An S3 client of your own, in place of endpoint, region, path style, credentials, authorities
   * and timeouts. The reader does not close it. Let it not retry: the reader does. How soon an
   * interrupt ends a read is up to its HTTP client.
   */
  public LfsReaderBuilder s3Client(S3Client client) {
    return source(S3Source.of(client));
  }

  /**
   * Where blobs are read from in another way: {@link PresignedSource}, {@link ProxySource}, or your
   * own. Closed by the reader.
   */
  public LfsReaderBuilder source(BlobSource source) {
    given = source;
    return this;
  }

  /** GETs in a row without one byte of progress, before the store is unavailable. Default 5. */
  public LfsReaderBuilder tries(int count) {
    if (count < 1) {
      throw new IllegalArgumentException("tries is " + count + ", 1 or more is needed");
    }
    tries = count;
    return this;
  }

  /** Before the second try; doubled with each, with jitter, up to 5 s. Default 200 ms. */
  public LfsReaderBuilder pause(Duration pause) {
    if (pause.isNegative()) {
      throw new IllegalArgumentException("pause is " + pause + ", 0 or more is needed");
    }
    this.pause = pause;
    return this;
  }

  /** No further try begins later than this after the last progress. Default 0: no limit. */
  public LfsReaderBuilder retryTime(Duration time) {
    if (time.isNegative()) {
      throw new IllegalArgumentException("retryTime is " + time + ", 0 or more is needed");
    }
    retryTime = time;
    return this;
  }

  /**
   * The most bytes that a blob may have; 0: unlimited. Where this is not set, a blob that is read
   * whole may have 256 MiB, and a stream has no limit.
   */
  public LfsReaderBuilder maxSize(long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException("maxSize is " + bytes + ", 0 or more is needed");
    }
    maxSize = OptionalLong.of(bytes);
    return this;
  }

  /** What becomes of an envelope without its blob. Default {@link OnMissing#RAISE}. */
  public LfsReaderBuilder onMissing(OnMissing onMissing) {
    this.onMissing = onMissing;
    return this;
  }

  /** Called once for each envelope, in the reading thread; what it throws is logged. */
  public LfsReaderBuilder onResolve(Consumer<Resolution> hook) {
    onResolve = hook;
    return this;
  }

  /** How long to wait for a connection. Default 5 s. */
  public LfsReaderBuilder connectTimeout(Duration timeout) {
    checkTimeout("connectTimeout", timeout);
    connectTimeout = timeout;
    return this;
  }

  /** How long the store may send nothing, the connecting included. Default 60 s. */
  public LfsReaderBuilder readTimeout(Duration timeout) {
    checkTimeout("readTimeout", timeout);
    readTimeout = timeout;
    return this;
  }

  LfsReaderBuilder sleeper(Sleeper sleeper) {
    this.sleeper = sleeper;
    return this;
  }

  private static void checkTimeout(String name, Duration timeout) {
    if (timeout.isNegative() || timeout.isZero()) {
      throw new IllegalArgumentException(name + " is " + timeout + ", more than 0 is needed");
    }
  }

  /**
   * The reader.
   *
   * @throws IllegalArgumentException where no bucket is set (unless the source reads by record),
   *     the endpoint is no URL, or the file of authorities cannot be used
   */
  public LfsReader build() {
    if (allowedBuckets().isEmpty() && (given == null || !given.byRecord())) {
      throw new IllegalArgumentException(
          "bucket or buckets is needed: the buckets that envelopes may point to");
    }
    checkEndpoint("endpoint", endpoint);
    return new LfsReader(this);
  }

  Set<String> allowedBuckets() {
    if (buckets != null) {
      return Set.copyOf(buckets);
    }
    return bucket == null || bucket.isEmpty() ? Set.of() : Set.of(bucket);
  }

  Retry retry() {
    return new Retry(tries, pause, retryTime);
  }

  BlobSource source() {
    if (given != null) {
      return given;
    }
    boolean tls = endpoint == null || !endpoint.startsWith("http:");
    Http http =
        new Http(
            connectTimeout, readTimeout, ca == null || !tls ? null : Authorities.tls(caName, ca));
    return S3Source.of(endpoint, region, pathStyle, credentials, http);
  }
}
