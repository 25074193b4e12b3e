package io.github.lfsproxy.client.connect;

import io.github.lfsproxy.client.LfsException;
import io.github.lfsproxy.client.LfsReader;
import io.github.lfsproxy.client.ReadOptions;
import io.github.lfsproxy.client.RecordCoordinates;
import io.github.lfsproxy.client.Resolved;
import io.github.lfsproxy.client.kafka.LfsConfig;
import io.github.lfsproxy.client.kafka.LfsHeaders;
import io.github.lfsproxy.client.kafka.MarkBySize;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.errors.RetriableException;
import org.apache.kafka.connect.storage.Converter;

/**
 * A converter for Kafka Connect: sinks get blobs in place of envelopes, and sources may mark what
 * is to be offloaded.
 *
 * <pre>{@code
 * value.converter=io.github.lfsproxy.client.connect.LfsConverter
 * value.converter.lfs.inner.converter=org.apache.kafka.connect.converters.ByteArrayConverter
 * value.converter.lfs.s3.bucket=kafscale
 * value.converter.lfs.mark.min.size=900000
 * }</pre>
 *
 * <p>The other properties are those of {@link LfsConfig}; all go to the inner converter too. Keys
 * are passed through. A store that does not answer is a RetriableException, any other failure a
 * DataException, so that Connect's errors.retry.timeout and errors.tolerance hold.
 *
 * <p>A worker converts all records of a poll before the sink gets the first, so that a task holds
 * up to consumer.override.max.poll.records times {@code lfs.max.size} bytes of blobs: set both.
 */
public final class LfsConverter implements Converter, AutoCloseable {
  /** The converter behind this one. */
  public static final String INNER = "lfs.inner.converter";

  /** Mark values of at least that many bytes for the proxy to offload; -1: mark nothing. */
  public static final String MARK_MIN_SIZE = MarkBySize.MIN_SIZE;

  /** The checksum that goes with a mark: true (sha256), sha256, crc32, md5, or false. */
  public static final String MARK_CHECKSUM = MarkBySize.CHECKSUM;

  private static final ConfigDef DEFINITION =
      MarkBySize.define(
          LfsConfig.definition()
              .define(
                  INNER,
                  Type.CLASS,
                  "org.apache.kafka.connect.converters.ByteArrayConverter",
                  Importance.HIGH,
                  "The converter behind this one: it gets the bytes of the blob, or the ordinary"
                      + " value's own."),
          -1);

  private Converter inner;
  private LfsReader reader;
  private MarkBySize mark = MarkBySize.of(-1);

  @Override
  public ConfigDef config() {
    return DEFINITION;
  }

  @Override
  public void configure(Map<String, ?> configs, boolean isKey) {
    LfsConfig config = LfsConfig.of(DEFINITION, configs);
    inner = config.instance(INNER, Converter.class);
    inner.configure(configs, isKey);
    if (!isKey) {
      reader = config.reader();
      mark = MarkBySize.of(config);
    }
  }

  @Override
  public byte[] fromConnectData(String topic, Schema schema, Object value) {
    return inner.fromConnectData(topic, schema, value);
  }

  @Override
  public byte[] fromConnectData(String topic, Headers headers, Schema schema, Object value) {
    byte[] bytes = inner.fromConnectData(topic, headers, schema, value);
    mark.mark(headers, bytes);
    return bytes;
  }

  @Override
  public SchemaAndValue toConnectData(String topic, byte[] value) {
    Resolved resolved = resolve(topic, value);
    return inner.toConnectData(topic, resolved.value());
  }

  @Override
  public SchemaAndValue toConnectData(String topic, Headers headers, byte[] value) {
    Resolved resolved = resolve(topic, value);
    if (reader != null) {
      headers.remove(LfsHeaders.MISSING);
    }
    if (resolved.missing()) {
      headers.add(LfsHeaders.MISSING, value);
    }
    return inner.toConnectData(topic, headers, resolved.value());
  }

  private Resolved resolve(String topic, byte[] value) {
    if (reader == null) {
      return Resolved.ordinary(value);
    }
    try {
      return reader.resolve(value, ReadOptions.none().record(RecordCoordinates.ofTopic(topic)));
    } catch (LfsException error) {
      String message =
          String.format("a record of %s cannot be resolved: %s", topic, error.getMessage());
      throw error.retriable()
          ? new RetriableException(message, error)
          : new DataException(message, error);
    }
  }

  /** Closes the reader and the inner converter; Connect from 3.8 on calls this. */
  @Override
  public void close() {
    if (reader != null) {
      reader.close();
    }
    if (inner instanceof AutoCloseable) {
      try {
        ((AutoCloseable) inner).close();
      } catch (Exception error) {
        throw new ConnectException("the inner converter cannot be closed", error);
      }
    }
  }
}
