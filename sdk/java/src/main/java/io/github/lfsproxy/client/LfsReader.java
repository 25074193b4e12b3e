package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Resolves record values: an envelope to the blob behind it, anything else to itself. May be shared
 * by threads.
 *
 * <p>What happens to an envelope, in this order: it is recognised; its content_length is checked
 * against the limit, its bucket and key against what is allowed; then the blob is fetched, and
 * verified on the way.
 *
 * <p>An interrupt of the reading thread ends a read at once, in {@link ReadInterruptedException};
 * the thread's flag stays set.
 */
public final class LfsReader implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LfsReader.class);
  private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;

  /** Of a blob that is read whole, where no maxSize is set: 256 MiB. */
  public static final long DEFAULT_WHOLE_SIZE = 256L * 1024 * 1024;

  private final Set<String> buckets;
  private final List<String> prefixes;
  private final OptionalLong maxSize;
  private final OnMissing onMissing;
  private final Consumer<Resolution> onResolve;
  private final BlobSource source;
  private final Retry retry;
  private final Sleeper sleeper;
  private volatile boolean closed;

  LfsReader(LfsReaderBuilder options) {
    buckets = options.allowedBuckets();
    prefixes = List.copyOf(options.prefixes);
    maxSize = options.maxSize;
    onMissing = options.onMissing;
    onResolve = options.onResolve;
    sleeper = options.sleeper;
    retry = options.retry();
    source = options.source();
  }

  /** A reader by the builder's options; the bucket must be set. */
  public static LfsReaderBuilder builder() {
    return new LfsReaderBuilder();
  }

  /**
   * A reader by the proxy's own variables, as {@link LfsReaderBuilder#environment} takes them.
   * Credentials come from the usual AWS places.
   *
   * @throws IllegalArgumentException for a variable that cannot be used
   */
  public static LfsReader fromEnvironment() {
    return builder().environment(System.getenv()).build();
  }

  /** As {@link #fromEnvironment()}, from these variables. */
  public static LfsReader fromEnvironment(Map<String, String> environment) {
    return builder().environment(environment).build();
  }

  /** The blob behind an envelope; any other value as it is. Throws as {@link #open} does. */
  public byte[] fetch(byte[] value) {
    return resolve(value).value();
  }

  /** Like {@link #fetch}, and tells what the value was. */
  public Resolved resolve(byte[] value) {
    return resolve(value, ReadOptions.none());
  }

  /** The same, told more. */
  public Resolved resolve(byte[] value, ReadOptions options) {
    Optional<Envelope> envelope = Envelope.parse(value);
    if (envelope.isEmpty()) {
      return Resolved.ordinary(value);
    }
    try (BlobStream stream = stream(envelope.get(), wholeLimit(), options)) {
      return new Resolved(stream.whole(), envelope.get(), false);
    } catch (BlobMissingException error) {
      return new Resolved(instead(error, value), envelope.get(), true);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /**
   * The blob behind an envelope as a stream; so is any other value. Close it.
   *
   * <p>The stream ends only when every byte was there and the checksum was right. Where the end of
   * a wrong blob would be, reading throws, and the last bytes are not handed out.
   *
   * @throws InvalidEnvelopeException for an envelope that is malformed or of a newer version
   * @throws TooLargeException for a blob above the limit
   * @throws EnvelopeNotAllowedException for a bucket or key that may not be followed
   * @throws BlobMissingException where the blob is not in the store
   * @throws BlobTruncatedException where the blob is not of its envelope's length
   * @throws StoreRefusedException where credentials, permissions or the bucket's name are wrong
   * @throws StoreUnavailableException where the store did not answer, after own tries
   * @throws ReadInterruptedException where the thread was interrupted
   */
  public LfsBlob open(byte[] value) {
    return open(value, ReadOptions.none());
  }

  /** The same, told more. */
  public LfsBlob open(byte[] value, ReadOptions options) {
    Optional<Envelope> envelope = Envelope.parse(value);
    if (envelope.isEmpty()) {
      return LfsBlob.ordinary(value);
    }
    long allowed = maxSize.orElse(0);
    try {
      return LfsBlob.of(
          stream(envelope.get(), allowed > 0 ? allowed : Long.MAX_VALUE, options), envelope.get());
    } catch (BlobMissingException error) {
      return LfsBlob.missing(instead(error, value), envelope.get());
    }
  }

  /**
   * Resolves many values, some at a time, and gives them in their order. One's failure is its own,
   * and comes in its place. Close what this returns.
   *
   * @param value the value in an item
   * @param options what the read of an item is told
   */
  public <T> Prefetched<T> resolveAll(
      Iterable<? extends T> items,
      Function<? super T, byte[]> value,
      Function<? super T, ReadOptions> options,
      Prefetch prefetch) {
    return new Prefetched<>(this, items, value, options, prefetch);
  }

  /** How many bytes a resolve of this value would fetch; -1: it fetches nothing. */
  long wholeLength(byte[] value) {
    try {
      long length = Envelope.parse(value).map(Envelope::contentLength).orElse(-1L);
      return length > wholeLimit() ? -1 : length;
    } catch (LfsException error) {
      return -1;
    }
  }

  private long wholeLimit() {
    long allowed = maxSize.orElse(DEFAULT_WHOLE_SIZE);
    return allowed > 0 ? Math.min(allowed, LARGEST_ARRAY) : LARGEST_ARRAY;
  }

  /** What comes in place of a missing blob. */
  private byte[] instead(BlobMissingException error, byte[] value) {
    if (onMissing == OnMissing.RAISE) {
      throw error;
    }
    return onMissing == OnMissing.ENVELOPE ? value : null;
  }

  private BlobStream stream(Envelope envelope, long limit, ReadOptions options) {
    if (closed) {
      throw new IllegalStateException("the reader is closed");
    }
    long started = System.nanoTime();
    BlobBytes bytes = new BlobBytes(source, retry, sleeper, envelope, options.record());
    BlobStream.Ended ended =
        (received, verified, error) ->
            report(
                new Resolution(
                    envelope,
                    result(verified, error),
                    received,
                    (System.nanoTime() - started) / 1e9,
                    bytes.tries(),
                    error,
                    options.record().orElse(null)));
    try {
      checkSize(envelope, limit);
      checkPlace(envelope);
      bytes.start();
    } catch (LfsException error) {
      ended.ended(0, false, error);
      throw error;
    } catch (RuntimeException | Error error) {
      String told = String.format("the GET of the blob %s was broken off: %s", bytes.name(), error);
      ended.ended(0, false, new ReadInterruptedException(told, error, false));
      throw error;
    }
    return new BlobStream(envelope, bytes, options.onProgress(), ended);
  }

  private static String result(boolean verified, LfsException error) {
    if (error == null) {
      return verified ? "ok" : "closed";
    }
    boolean cancelled =
        error instanceof ReadInterruptedException && ((ReadInterruptedException) error).cancelled();
    return cancelled ? "cancelled" : error.name();
  }

  private void checkSize(Envelope envelope, long limit) {
    if (envelope.contentLength() > limit) {
      String why =
          limit == LARGEST_ARRAY
              ? "than an array holds: open it as a stream"
              : maxSize.isPresent()
                  ? String.format("than maxSize allows (%d bytes)", limit)
                  : String.format(
                      "than is read whole where maxSize is not set (%d bytes): set it, or open the"
                          + " blob as a stream, which has no such limit",
                      limit);
      throw new TooLargeException(
          String.format("the blob has %d bytes, more %s", envelope.contentLength(), why));
    }
  }

  /**
   * Whoever may produce to a topic decides what an envelope says: it must not make a reader fetch
   * anything else that the reader's credentials can see. A key with "." or ".." between slashes is
   * refused too, as HTTP clients and stores may resolve it.
   */
  private void checkPlace(Envelope envelope) {
    if (buckets.isEmpty()) {
      return; // Only of a source that reads by record: the proxy has its own rule.
    }
    String key = envelope.key();
    if (!buckets.contains(envelope.bucket())) {
      throw new EnvelopeNotAllowedException(
          String.format("the envelope points to the bucket %.80s, not allowed", envelope.bucket()));
    }
    List<String> parts = Arrays.asList(key.split("/", -1));
    if (parts.contains(".")
        || parts.contains("..")
        || prefixes.stream().noneMatch(key::startsWith)) {
      throw new EnvelopeNotAllowedException(
          String.format("the envelope points to the key %.200s, not allowed", key));
    }
  }

  private void report(Resolution resolution) {
    if (onResolve != null) {
      try {
        onResolve.accept(resolution);
      } catch (VirtualMachineError error) {
        throw error;
      } catch (Throwable error) {
        log.error("the onResolve hook has failed", error);
      }
    }
  }

  /** Closes what the reader holds. Streams that are still open end in an error. */
  @Override
  public void close() {
    closed = true;
    source.close();
  }
}
