package io.github.lfsproxy.client;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Resolves record values: an envelope to the blob behind it, anything else to itself. May be shared
 * by threads.
 *
 * <p>What happens to an envelope, in this order: it is recognised; its content_length is checked
 * against the limit, its bucket and key against what is allowed; then the blob is fetched, and
 * verified on the way.
 */
public final class LfsReader implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LfsReader.class);
  private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;

  private final Set<String> buckets;
  private final List<String> prefixes;
  private final long maxSize;
  private final OnMissing onMissing;
  private final Consumer<Resolution> onResolve;
  private final Store store;
  private final Sleeper sleeper;

  LfsReader(LfsReaderBuilder options) {
    buckets = options.allowedBuckets();
    prefixes = List.copyOf(options.prefixes);
    maxSize = options.maxSize;
    onMissing = options.onMissing;
    onResolve = options.onResolve;
    sleeper = options.sleeper;
    store = options.store();
  }

  /** A reader by the builder's options; the bucket must be set. */
  public static LfsReaderBuilder builder() {
    return new LfsReaderBuilder();
  }

  /**
   * A reader by the proxy's own variables: LFS_S3_BUCKET, LFS_S3_ENDPOINT, LFS_S3_REGION and
   * LFS_S3_PATH_STYLE. Credentials come from the usual AWS places.
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
    Optional<Envelope> envelope = Envelope.parse(value);
    if (envelope.isEmpty()) {
      return Resolved.ordinary(value);
    }
    long limit = maxSize > 0 ? Math.min(maxSize, LARGEST_ARRAY) : LARGEST_ARRAY;
    try (BlobStream stream = stream(envelope.get(), limit)) {
      return new Resolved(stream.whole(), envelope.get(), false);
    } catch (BlobMissingException error) {
      if (onMissing == OnMissing.RAISE) {
        throw error;
      }
      byte[] instead = onMissing == OnMissing.ENVELOPE ? value : null;
      return new Resolved(instead, envelope.get(), true);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /**
   * The blob behind an envelope as a stream; so is any other value. Null for a null value, and for
   * a missing blob with {@link OnMissing#SKIP}.
   *
   * <p>The stream ends only when every byte was there and the checksum was right. Where the end of
   * a wrong blob would be, reading throws, and the last bytes are not handed out. Close the stream.
   *
   * @throws InvalidEnvelopeException for an envelope that is malformed or of a newer version
   * @throws TooLargeException for a blob above the limit
   * @throws EnvelopeNotAllowedException for a bucket or key that may not be followed
   * @throws BlobMissingException where the blob is not in the store
   * @throws BlobTruncatedException where the blob is not of its envelope's length
   * @throws StoreRefusedException where credentials, permissions or the bucket's name are wrong
   * @throws StoreUnavailableException where the store did not answer, after own tries
   */
  public InputStream open(byte[] value) {
    Optional<Envelope> envelope = Envelope.parse(value);
    if (envelope.isEmpty()) {
      return value == null ? null : new ByteArrayInputStream(value);
    }
    try {
      return stream(envelope.get(), maxSize > 0 ? maxSize : Long.MAX_VALUE);
    } catch (BlobMissingException error) {
      switch (onMissing) {
        case SKIP:
          return null;
        case ENVELOPE:
          return new ByteArrayInputStream(value);
        default:
          throw error;
      }
    }
  }

  private BlobStream stream(Envelope envelope, long limit) {
    long started = System.nanoTime();
    BlobStream.Ended ended =
        (received, verified, error) -> {
          String result = verified ? "ok" : error == null ? "closed" : error.name();
          double seconds = (System.nanoTime() - started) / 1e9;
          report(new Resolution(envelope, result, received, seconds, error));
        };
    BlobBytes source = new BlobBytes(store, sleeper, envelope);
    try {
      checkSize(envelope, limit);
      checkPlace(envelope);
      source.start();
    } catch (LfsException error) {
      ended.ended(0, false, error);
      throw error;
    }
    return new BlobStream(envelope, source, ended);
  }

  private void checkSize(Envelope envelope, long limit) {
    if (envelope.contentLength() > limit) {
      throw new TooLargeException(
          limit == maxSize
              ? String.format(
                  "the blob has %d bytes, more than maxSize allows (%d bytes)",
                  envelope.contentLength(), limit)
              : String.format(
                  "the blob has %d bytes, more than an array holds: open it as a stream",
                  envelope.contentLength()));
    }
  }

  /**
   * Whoever may produce to a topic decides what an envelope says: it must not make a reader fetch
   * anything else that the reader's credentials can see. A key with "." or ".." between slashes is
   * refused too, as HTTP clients and stores may resolve it.
   */
  private void checkPlace(Envelope envelope) {
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
      } catch (RuntimeException error) {
        log.error("the onResolve hook has failed", error);
      }
    }
  }

  /** Closes what the reader holds. Streams that are still open end in an error. */
  @Override
  public void close() {
    store.close();
  }
}
