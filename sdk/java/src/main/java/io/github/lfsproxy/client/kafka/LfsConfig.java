package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.LfsReaderBuilder;
import io.github.lfsproxy.client.OnMissing;
import io.github.lfsproxy.client.Resolution;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.common.Configurable;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.types.Password;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.AwsSessionCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;

/**
 * The reader's options as properties of a Kafka client or a Connect worker.
 *
 * <p>Where {@value #BUCKET}, {@value #ENDPOINT}, {@value #REGION}, {@value #PATH_STYLE} or {@value
 * #CA} is not set, the proxy's own variables count: {@link LfsReaderBuilder#environment}.
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

  /** The session token of temporary credentials. */
  public static final String SESSION_TOKEN = "lfs.s3.session.token";

  /** A class that implements {@code AwsCredentialsProvider}. */
  public static final String CREDENTIALS_PROVIDER = "lfs.s3.credentials.provider";

  /** A file of PEM certificates: the authorities to trust. */
  public static final String CA = "lfs.s3.ca";

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

  /** GETs in a row without one byte of progress. */
  public static final String TRIES = "lfs.tries";

  /** The pause before the second try. */
  public static final String PAUSE_MS = "lfs.pause.ms";

  /** How long after the last progress a further try may begin; 0: no limit. */
  public static final String RETRY_TIME_MS = "lfs.retry.time.ms";

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
        .define(
            BUCKET,
            Type.STRING,
            null,
            Importance.HIGH,
            "The bucket that holds the blobs. Not set: LFS_S3_BUCKET, else kafscale.")
        .define(
            ENDPOINT,
            Type.STRING,
            null,
            Importance.HIGH,
            "The URL of an S3-compatible store. Not set: LFS_S3_ENDPOINT, else AWS.")
        .define(
            REGION,
            Type.STRING,
            null,
            Importance.MEDIUM,
            "The region. Not set: LFS_S3_REGION, AWS_REGION, AWS_DEFAULT_REGION, else us-east-1.")
        .define(
            PATH_STYLE,
            Type.BOOLEAN,
            null,
            Importance.MEDIUM,
            "Whether the bucket goes into the URL's path, not into its host name."
                + " Not set: LFS_S3_PATH_STYLE, else false.")
        .define(
            ACCESS_KEY,
            Type.STRING,
            null,
            Importance.MEDIUM,
            "The access key. Not set: the AWS SDK's usual places.")
        .define(SECRET_KEY, Type.PASSWORD, null, Importance.MEDIUM, "The access key's secret.")
        .define(
            SESSION_TOKEN,
            Type.PASSWORD,
            null,
            Importance.LOW,
            "The session token, where the access key is a temporary one.")
        .define(
            CREDENTIALS_PROVIDER,
            Type.CLASS,
            null,
            Importance.LOW,
            "A class that implements software.amazon.awssdk.auth.credentials.AwsCredentialsProvider,"
                + " in place of an access key. It is made by its static create() or its constructor"
                + " without arguments, and configured where it is a Configurable.")
        .define(
            CA,
            Type.STRING,
            null,
            Importance.LOW,
            "A file of PEM certificates: the authorities to trust for an https endpoint."
                + " Not set: LFS_S3_CA, AWS_CA_BUNDLE, else the Java runtime's own.")
        .define(
            BUCKETS,
            Type.LIST,
            null,
            Importance.MEDIUM,
            "The buckets that envelopes may point to, comma-separated. Not set: the bucket.")
        .define(
            PREFIXES,
            Type.LIST,
            "lfs/",
            Importance.MEDIUM,
            "The beginnings of keys that envelopes may point to, comma-separated.")
        .define(
            MAX_SIZE,
            Type.LONG,
            null,
            atLeast(0),
            Importance.MEDIUM,
            "The most bytes that a blob may have; 0: unlimited. Not set: 256 MiB for blobs that are"
                + " read whole, unlimited for streams.")
        .define(
            ON_MISSING,
            Type.STRING,
            "raise",
            ConfigDef.ValidString.in("raise", "skip", "envelope"),
            Importance.MEDIUM,
            "What becomes of an envelope whose blob is not in the store: an error, a null value, or"
                + " the envelope itself as the value.")
        .define(
            ON_RESOLVE,
            Type.CLASS,
            null,
            Importance.LOW,
            "A class that implements java.util.function.Consumer, told of each envelope. It is"
                + " configured with these properties where it is a Configurable.")
        .define(
            TRIES,
            Type.INT,
            5,
            ConfigDef.Range.atLeast(1),
            Importance.LOW,
            "GETs in a row without one byte of progress, before the store counts as unavailable.")
        .define(
            PAUSE_MS,
            Type.LONG,
            200L,
            ConfigDef.Range.atLeast(0),
            Importance.LOW,
            "Milliseconds before the second try; doubled with each, with jitter, up to 5 s.")
        .define(
            RETRY_TIME_MS,
            Type.LONG,
            0L,
            ConfigDef.Range.atLeast(0),
            Importance.LOW,
            "No further try begins later than so many milliseconds after the last progress."
                + " 0: no limit.")
        .define(
            CONNECT_TIMEOUT_MS,
            Type.LONG,
            5_000L,
            ConfigDef.Range.atLeast(1),
            Importance.LOW,
            "Milliseconds to wait for a connection to the store.")
        .define(
            READ_TIMEOUT_MS,
            Type.LONG,
            60_000L,
            ConfigDef.Range.atLeast(1),
            Importance.LOW,
            "Milliseconds that the store may send nothing.");
  }

  /** As the range of that name, for a property that may be left out. */
  private static ConfigDef.Validator atLeast(long least) {
    return ConfigDef.LambdaValidator.with(
        (name, value) -> {
          if (value != null) {
            ConfigDef.Range.atLeast(least).ensureValid(name, value);
          }
        },
        () -> "[" + least + ",...]");
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

  /** The same with another limit in place of {@value #MAX_SIZE}; null: the reader's defaults. */
  LfsReader reader(Long maxSize) {
    try {
      LfsReaderBuilder builder = builder();
      if (maxSize != null) {
        builder.maxSize(maxSize);
      }
      return builder.build();
    } catch (IllegalArgumentException error) {
      ConfigException refused = new ConfigException(error.getMessage());
      refused.initCause(error);
      throw refused;
    }
  }

  /** The most bytes of a blob that is read whole; 0: unlimited. */
  long wholeSize() {
    Long maxSize = getLong(MAX_SIZE);
    return maxSize == null ? LfsReader.DEFAULT_WHOLE_SIZE : maxSize;
  }

  private LfsReaderBuilder builder() {
    LfsReaderBuilder builder =
        LfsReader.builder()
            .environment(System.getenv())
            .prefixes(getList(PREFIXES))
            .onMissing(OnMissing.of(getString(ON_MISSING)))
            .tries(getInt(TRIES))
            .pause(Duration.ofMillis(getLong(PAUSE_MS)))
            .retryTime(Duration.ofMillis(getLong(RETRY_TIME_MS)))
            .connectTimeout(Duration.ofMillis(getLong(CONNECT_TIMEOUT_MS)))
            .readTimeout(Duration.ofMillis(getLong(READ_TIMEOUT_MS)));
    given(getString(BUCKET), builder::bucket);
    given(getString(ENDPOINT), builder::endpoint);
    given(getString(REGION), builder::region);
    given(getBoolean(PATH_STYLE), builder::pathStyle);
    given(getString(CA), file -> builder.ca(Path.of(file)));
    given(getList(BUCKETS), builder::buckets);
    given(credentials(), builder::credentials);
    given(hook(), builder::onResolve);
    return builder;
  }

  private static <T> void given(T value, Consumer<T> option) {
    if (value != null) {
      option.accept(value);
    }
  }

  private AwsCredentialsProvider credentials() {
    if (getString(ACCESS_KEY) == null) {
      return getClass(CREDENTIALS_PROVIDER) == null
          ? null
          : configured(CREDENTIALS_PROVIDER, AwsCredentialsProvider.class);
    }
    if (getClass(CREDENTIALS_PROVIDER) != null) {
      throw new ConfigException(
          CREDENTIALS_PROVIDER,
          getClass(CREDENTIALS_PROVIDER).getName(),
          "set this or " + ACCESS_KEY + ", not both");
    }
    if (getPassword(SECRET_KEY) == null) {
      throw new ConfigException(SECRET_KEY, null, "needed beside " + ACCESS_KEY);
    }
    String key = getString(ACCESS_KEY);
    String secret = getPassword(SECRET_KEY).value();
    Password token = getPassword(SESSION_TOKEN);
    return StaticCredentialsProvider.create(
        token == null
            ? AwsBasicCredentials.create(key, secret)
            : AwsSessionCredentials.create(key, secret, token.value()));
  }

  @SuppressWarnings("unchecked")
  private Consumer<Resolution> hook() {
    return getClass(ON_RESOLVE) == null ? null : configured(ON_RESOLVE, Consumer.class);
  }

  /**
   * A new instance of the class that a property names, by its static create() or its constructor
   * without arguments.
   *
   * @throws ConfigException where it is not of that type, or cannot be made
   */
  public <T> T instance(String property, Class<T> type) {
    Class<?> named = getClass(property);
    try {
      return type.cast(made(named));
    } catch (ReflectiveOperationException | ClassCastException error) {
      ConfigException refused =
          new ConfigException(property, named.getName(), "cannot be made a " + type.getName());
      refused.initCause(error);
      throw refused;
    }
  }

  /** The same, configured with all properties where it is a Configurable. */
  private <T> T configured(String property, Class<T> type) {
    T made = instance(property, type);
    if (made instanceof Configurable) {
      ((Configurable) made).configure(originals());
    }
    return made;
  }

  private static Object made(Class<?> named) throws ReflectiveOperationException {
    try {
      return named.getDeclaredConstructor().newInstance();
    } catch (NoSuchMethodException | IllegalAccessException error) {
      for (Method method : named.getMethods()) {
        if (method.getName().equals("create")
            && method.getParameterCount() == 0
            && Modifier.isStatic(method.getModifiers())) {
          return method.invoke(null);
        }
      }
      throw error;
    }
  }
}
