package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.LfsReaderBuilder;
import io.github.lfsproxy.client.OnMissing;
import io.github.lfsproxy.client.Resolution;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;

/**
 * The reader's options as properties of a Kafka client or a Connect worker.
 *
 * <p>Where {@value #BUCKET}, {@value #ENDPOINT}, {@value #REGION} or {@value #PATH_STYLE} is not
 * set, the proxy's own variable counts: LFS_S3_BUCKET, LFS_S3_ENDPOINT, LFS_S3_REGION,
 * LFS_S3_PATH_STYLE.
 */
public final class LfsConfig extends AbstractConfig {
  /** The bucket that holds the blobs. */
  public static final String BUCKET = "lfs.s3.bucket";

  /** The URL of an S3-compatible store. */
  public static final String ENDPOINT = "lfs.s3.endpoint";

  /** The region. */
  public static final String REGION = "lfs.s3.region";

  /** Whether the bucket goes into the URL's path. */
  public static final String PATH_STYLE = "lfs.s3.path.style";

  /** The access key; without it the AWS SDK's usual places count. */
  public static final String ACCESS_KEY = "lfs.s3.access.key";

  /** The secret of the access key. */
  public static final String SECRET_KEY = "lfs.s3.secret.key";

  /** The buckets that envelopes may point to, comma-separated. */
  public static final String BUCKETS = "lfs.buckets";

  /** The beginnings of keys that envelopes may point to, comma-separated. */
  public static final String PREFIXES = "lfs.prefixes";

  /** The most bytes that a blob may have; 0: unlimited. */
  public static final String MAX_SIZE = "lfs.max.size";

  /** What becomes of an envelope without its blob: raise, skip or envelope. */
  public static final String ON_MISSING = "lfs.on.missing";

  /** A class that implements {@code Consumer<Resolution>}, told of every envelope. */
  public static final String ON_RESOLVE = "lfs.on.resolve";

  /** How long to wait for a connection. */
  public static final String CONNECT_TIMEOUT_MS = "lfs.connect.timeout.ms";

  /** How long the store may send nothing. */
  public static final String READ_TIMEOUT_MS = "lfs.read.timeout.ms";

  private LfsConfig(ConfigDef definition, Map<String, ?> properties) {
    super(definition, properties, false);
  }

  /** The reader's properties, to which a class of this package adds its own. */
  public static ConfigDef definition() {
    return new ConfigDef()
        .define(BUCKET, Type.STRING, null, Importance.HIGH, "The bucket that holds the blobs.")
        .define(ENDPOINT, Type.STRING, null, Importance.HIGH, "URL of an S3-compatible store.")
        .define(REGION, Type.STRING, null, Importance.MEDIUM, "The region.")
        .define(PATH_STYLE, Type.BOOLEAN, null, Importance.MEDIUM, "Bucket in the URL's path.")
        .define(ACCESS_KEY, Type.STRING, null, Importance.MEDIUM, "Access key.")
        .define(SECRET_KEY, Type.PASSWORD, null, Importance.MEDIUM, "Its secret.")
        .define(BUCKETS, Type.LIST, null, Importance.MEDIUM, "Buckets that may be followed.")
        .define(PREFIXES, Type.LIST, "lfs/", Importance.MEDIUM, "Key prefixes to be followed.")
        .define(MAX_SIZE, Type.LONG, 0L, ConfigDef.Range.atLeast(0), Importance.MEDIUM, "Bytes.")
        .define(
            ON_MISSING,
            Type.STRING,
            "raise",
            ConfigDef.ValidString.in("raise", "skip", "envelope"),
            Importance.MEDIUM,
            "What becomes of an envelope without its blob.")
        .define(ON_RESOLVE, Type.CLASS, null, Importance.LOW, "Told of every envelope.")
        .define(CONNECT_TIMEOUT_MS, Type.LONG, 5_000L, Importance.LOW, "Milliseconds.")
        .define(READ_TIMEOUT_MS, Type.LONG, 60_000L, Importance.LOW, "Milliseconds.");
  }

  /**
   * The properties of a client or worker, of which those of {@code definition} count.
   *
   * @throws ConfigException for a property that cannot be used
   */
  public static LfsConfig of(ConfigDef definition, Map<String, ?> properties) {
    return new LfsConfig(definition, properties);
  }

  /**
   * A reader by these properties.
   *
   * @throws ConfigException where they do not make one
   */
  public LfsReader reader() {
    return reader(getLong(MAX_SIZE));
  }

  /** The same with another limit in place of {@value #MAX_SIZE}. */
  LfsReader reader(long maxSize) {
    try {
      return builder().maxSize(maxSize).build();
    } catch (IllegalArgumentException error) {
      throw new ConfigException(error.getMessage());
    }
  }

  private LfsReaderBuilder builder() {
    LfsReaderBuilder builder =
        LfsReader.builder()
            .environment(System.getenv())
            .prefixes(getList(PREFIXES))
            .onMissing(OnMissing.of(getString(ON_MISSING)))
            .connectTimeout(Duration.ofMillis(getLong(CONNECT_TIMEOUT_MS)))
            .readTimeout(Duration.ofMillis(getLong(READ_TIMEOUT_MS)));
    if (getString(BUCKET) != null) {
      builder.bucket(getString(BUCKET));
    }
    if (getString(ENDPOINT) != null) {
      builder.endpoint(getString(ENDPOINT));
    }
    if (getString(REGION) != null) {
      builder.region(getString(REGION));
    }
    if (getBoolean(PATH_STYLE) != null) {
      builder.pathStyle(getBoolean(PATH_STYLE));
    }
    List<String> buckets = getList(BUCKETS);
    if (buckets != null) {
      builder.buckets(buckets);
    }
    if (getString(ACCESS_KEY) != null) {
      builder.credentials(credentials());
    }
    if (getClass(ON_RESOLVE) != null) {
      builder.onResolve(hook());
    }
    return builder;
  }

  private StaticCredentialsProvider credentials() {
    if (getPassword(SECRET_KEY) == null) {
      throw new ConfigException(SECRET_KEY, null, "needed beside " + ACCESS_KEY);
    }
    return StaticCredentialsProvider.create(
        AwsBasicCredentials.create(getString(ACCESS_KEY), getPassword(SECRET_KEY).value()));
  }

  private Consumer<Resolution> hook() {
    @SuppressWarnings("unchecked")
    Consumer<Resolution> hook = instance(ON_RESOLVE, Consumer.class);
    return hook;
  }

  /**
   * A new instance of the class that a property names.
   *
   * @throws ConfigException where it is not of that type, or cannot be made
   */
  public <T> T instance(String property, Class<T> type) {
    Class<?> named = getClass(property);
    try {
      return type.cast(named.getDeclaredConstructor().newInstance());
    } catch (ReflectiveOperationException | ClassCastException error) {
      ConfigException refused =
          new ConfigException(property, named.getName(), "cannot be made a " + type.getName());
      refused.initCause(error);
      throw refused;
    }
  }
}
