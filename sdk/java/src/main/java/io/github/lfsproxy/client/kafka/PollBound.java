package io.github.lfsproxy.client.kafka;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.SerializationException;

/**
 * How many bytes of blobs the records of one poll may hold.
 *
 * <p>A consumer deserializes in the thread that polls, and tells its interceptors at the end of
 * each poll that has records, in the same thread. So the bytes since the last such call are those
 * of the poll under way. Where one blob more would be too many, an exception ends the poll: the
 * consumer keeps it to itself, returns the records that it has, and deserializes that record again
 * in the next poll (CompletedFetch.fetchRecords and FetchCollector.collectFetch of kafka-clients).
 */
final class PollBound {
  private static final int DEFAULT_MAX_POLL_RECORDS = 500;
  private static final ThreadLocal<Long> POLLED = ThreadLocal.withInitial(() -> 0L);

  static final PollBound NONE = new PollBound(0, false);

  private final long limit;
  private final boolean counts;

  private PollBound(long limit, boolean counts) {
    this.limit = limit;
    this.counts = counts;
  }

  static void pollHasEnded() {
    POLLED.remove();
  }

  /**
   * The bound for a deserializer with these properties.
   *
   * @throws ConfigException where the consumer could not keep to it
   */
  static PollBound of(Map<String, ?> configs, LfsConfig config) {
    long limit = config.getLong(LfsDeserializer.MAX_POLL_BYTES);
    long maxSize = config.wholeSize();
    if (limit == 0
        || !names(configs, ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, LfsDeserializer.class)) {
      // Without a consumer of its own, records come one at a time, or at another's pace.
      return NONE;
    }
    if (names(configs, ConsumerConfig.INTERCEPTOR_CLASSES_CONFIG, LfsPollInterceptor.class)) {
      return new PollBound(limit, true);
    }
    long largest = maxSize == 0 ? limit : Math.min(maxSize, limit);
    if (maxPollRecords(configs) > limit / largest) {
      throw new ConfigException(
          String.format(
              "%s=%d cannot be held: add %s=%s, which tells where a poll ends (or let %s times %s "
                  + "be less, or set %s=0 for no bound)",
              LfsDeserializer.MAX_POLL_BYTES,
              limit,
              ConsumerConfig.INTERCEPTOR_CLASSES_CONFIG,
              LfsPollInterceptor.class.getName(),
              ConsumerConfig.MAX_POLL_RECORDS_CONFIG,
              LfsConfig.MAX_SIZE,
              LfsDeserializer.MAX_POLL_BYTES));
    }
    return new PollBound(limit, false);
  }

  private static boolean names(Map<String, ?> configs, String property, Class<?> wanted) {
    return named(configs.get(property))
        .anyMatch(name -> name.equals(wanted) || wanted.getName().equals(name));
  }

  private static Stream<?> named(Object value) {
    if (value instanceof String) {
      return Arrays.stream(((String) value).split(",")).map(String::strip);
    }
    return value instanceof List ? ((List<?>) value).stream() : Stream.ofNullable(value);
  }

  private static long maxPollRecords(Map<String, ?> configs) {
    Object value = configs.get(ConsumerConfig.MAX_POLL_RECORDS_CONFIG);
    return value == null ? DEFAULT_MAX_POLL_RECORDS : Long.parseLong(value.toString().strip());
  }

  /** The most bytes of one blob, given what the reader would allow; 0: unlimited. */
  long largest(long maxSize) {
    return limit == 0 ? maxSize : maxSize == 0 ? limit : Math.min(limit, maxSize);
  }

  /**
   * Before a blob of that many bytes is fetched.
   *
   * @throws SerializationException where the poll has no room for it
   */
  void require(long bytes) {
    long polled = counts ? POLLED.get() : 0;
    if (polled > 0 && bytes > limit - polled) {
      throw new SerializationException(
          String.format(
              "this poll has %d bytes of blobs, and %d more would exceed %s=%d: it ends here, and "
                  + "the next one begins with this record",
              polled, bytes, LfsDeserializer.MAX_POLL_BYTES, limit));
    }
  }

  /** A record with so many bytes of a blob becomes part of the poll. */
  void add(long bytes) {
    if (counts) {
      POLLED.set(POLLED.get() + bytes);
    }
  }
}
