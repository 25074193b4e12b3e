package io.github.lfsproxy.client.kafka;

import io.github.lfsproxy.client.Envelope;
import io.github.lfsproxy.client.LfsException;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.ReadOptions;
import io.github.lfsproxy.client.RecordCoordinates;
import io.github.lfsproxy.client.Resolved;
import io.github.lfsproxy.client.TooLargeException;
import java.nio.ByteBuffer;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Gives the blob behind an envelope to another deserializer, and any other value as it is.
 *
 * <pre>{@code
 * value.deserializer=io.github.lfsproxy.client.kafka.LfsDeserializer
 * lfs.inner.deserializer=org.apache.kafka.common.serialization.StringDeserializer
 * interceptor.classes=io.github.lfsproxy.client.kafka.LfsPollInterceptor
 * lfs.s3.bucket=kafscale
 * }</pre>
 *
 * <p>The properties are those of {@link LfsConfig}. Keys are never resolved: as a key.deserializer
 * this only delegates, to {@value #INNER_KEY}. A blob that is missing under {@code
 * lfs.on.missing=skip} is null; the header {@link LfsHeaders#MISSING} tells it from a tombstone.
 *
 * <p>Each blob is held whole, and so are those of all records of a poll: up to {@value
 * #MAX_POLL_BYTES} bytes, beyond which a poll ends and the next record comes with the next one.
 * {@link LfsPollInterceptor} tells where a poll ends. Without it a consumer is refused, unless its
 * max.poll.records times {@code lfs.max.size} are not more. Inside another deserializer, or made by
 * hand, this does not know of polls, and there is no such bound. {@link LfsValueDeserializer}
 * fetches only what is asked for.
 *
 * @param <T> what the inner deserializer makes of the bytes
 */
public final class LfsDeserializer<T> implements Deserializer<T> {
  /** The deserializer that gets the bytes of a value. Default: ByteArrayDeserializer. */
  public static final String INNER = "lfs.inner.deserializer";

  /** The deserializer of keys. Default: ByteArrayDeserializer. */
  public static final String INNER_KEY = "lfs.inner.key.deserializer";

  /** The most bytes of blobs in one poll, and so of one blob; 0: no bound. Default: 256 MiB. */
  public static final String MAX_POLL_BYTES = "lfs.max.poll.bytes";

  private static final ConfigDef DEFINITION =
      LfsConfig.definition()
          .define(
              MAX_POLL_BYTES,
              Type.LONG,
              256L * 1024 * 1024,
              ConfigDef.Range.atLeast(0),
              Importance.HIGH,
              "The most bytes of blobs in one poll, and so of one blob. 0: no bound. A poll that is"
                  + " full ends early, and the next one goes on with the next record.")
          .define(
              INNER,
              Type.CLASS,
              ByteArrayDeserializer.class,
              Importance.HIGH,
              "The deserializer that gets the bytes of a value: those of the blob, or the ordinary"
                  + " value's own.")
          .define(
              INNER_KEY,
              Type.CLASS,
              ByteArrayDeserializer.class,
              Importance.LOW,
              "The deserializer that gets the bytes of a key, which are never resolved.");

  private LfsReader reader;
  private boolean ownReader;
  private Deserializer<T> inner;
  private PollBound bound = PollBound.NONE;

  /** For a Kafka client, which calls {@link #configure}. */
  public LfsDeserializer() {}

  /**
   * A deserializer of values that is configured already. The reader stays the caller's, who closes
   * it; the inner deserializer is closed with this.
   */
  public LfsDeserializer(LfsReader reader, Deserializer<T> inner) {
    this.reader = reader;
    this.inner = inner;
  }

  /** The properties, with their defaults and what they mean. */
  public static ConfigDef definition() {
    return new ConfigDef(DEFINITION);
  }

  /** Takes the properties of a consumer. One that was made with a reader passes them on only. */
  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    if (inner == null) {
      LfsConfig config = LfsConfig.of(DEFINITION, configs);
      inner = instance(config, isKey ? INNER_KEY : INNER);
      if (!isKey) {
        bound = PollBound.of(configs, config);
        reader = config.reader(bound.largest(config.wholeSize()));
        ownReader = true;
      }
    }
    inner.configure(configs, isKey);
  }

  @SuppressWarnings("unchecked")
  private static <T> Deserializer<T> instance(LfsConfig config, String property) {
    return config.instance(property, Deserializer.class);
  }

  @Override
  public T deserialize(String topic, byte[] data) {
    Resolved resolved = resolve(topic, null, data);
    return counted(resolved, skipped(resolved) ? null : inner.deserialize(topic, resolved.value()));
  }

  /**
   * What the inner deserializer makes of the blob or of the ordinary value.
   *
   * @throws SerializationException where the blob cannot be had; its cause is the {@link
   *     LfsException}
   */
  @Override
  public T deserialize(String topic, Headers headers, byte[] data) {
    Resolved resolved = resolve(topic, headers, data);
    return counted(
        resolved, skipped(resolved) ? null : inner.deserialize(topic, headers, resolved.value()));
  }

  /**
   * As above, for the clients that hand over a buffer; an ordinary value's is passed on as it is.
   */
  @Override
  public T deserialize(String topic, Headers headers, ByteBuffer data) {
    if (data == null
        || !data.hasRemaining()
        || !Envelope.mayBe(data.remaining(), data.get(data.position()))) {
      unmark(headers);
      return inner.deserialize(topic, headers, data);
    }
    byte[] bytes = new byte[data.remaining()];
    data.duplicate().get(bytes);
    Resolved resolved = resolve(topic, headers, bytes);
    if (resolved.envelope().isEmpty()) {
      return inner.deserialize(topic, headers, data);
    }
    return counted(
        resolved,
        skipped(resolved)
            ? null
            : inner.deserialize(topic, headers, ByteBuffer.wrap(resolved.value())));
  }

  private Resolved resolve(String topic, Headers headers, byte[] data) {
    if (reader == null) {
      return Resolved.ordinary(data);
    }
    unmark(headers);
    Resolved resolved = resolve(topic, data);
    if (resolved.missing() && headers != null) {
      headers.add(LfsHeaders.MISSING, data);
    }
    return resolved;
  }

  /** The header is this deserializer's word, not a producer's. */
  private void unmark(Headers headers) {
    if (reader != null && headers != null && headers.lastHeader(LfsHeaders.MISSING) != null) {
      headers.remove(LfsHeaders.MISSING);
    }
  }

  private Resolved resolve(String topic, byte[] data) {
    try {
      Envelope.parse(data).ifPresent(envelope -> bound.require(envelope.contentLength()));
      return reader.resolve(data, ReadOptions.none().record(RecordCoordinates.ofTopic(topic)));
    } catch (LfsException error) {
      String limits =
          error instanceof TooLargeException
              ? String.format(
                  " (%s and %s say how large it may be; %s gives larger ones as streams)",
                  LfsConfig.MAX_SIZE, MAX_POLL_BYTES, LfsValueDeserializer.class.getSimpleName())
              : "";
      throw new SerializationException(
          String.format(
              "a record of %s cannot be resolved: %s%s", topic, error.getMessage(), limits),
          error);
    }
  }

  private T counted(Resolved resolved, T result) {
    if (resolved.envelope().isPresent() && resolved.value() != null) {
      bound.add(resolved.value().length);
    }
    return result;
  }

  private static boolean skipped(Resolved resolved) {
    return resolved.missing() && resolved.value() == null;
  }

  @Override
  public void close() {
    if (ownReader) {
      reader.close();
    }
    if (inner != null) {
      inner.close();
    }
  }
}
