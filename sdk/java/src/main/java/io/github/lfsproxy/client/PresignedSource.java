package io.github.lfsproxy.client;

import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;

/**
 * Reads by the URL that a function gives for an envelope: for where there are no S3 credentials,
 * and somebody else presigns. The function is asked before each GET, so that a URL may expire.
 *
 * <pre>{@code
 * LfsReader.builder().bucket("kafscale").source(new PresignedSource((envelope, record) -> ...))
 * }</pre>
 */
public final class PresignedSource implements BlobSource {
  /** Gives the URL of a blob. */
  @FunctionalInterface
  public interface Presign {
    /**
     * The URL.
     *
     * @param record where the caller of the reader has given it
     * @throws IOException where the same may succeed later
     * @throws InterruptedException where the thread was interrupted
     */
    URI url(Envelope envelope, Optional<RecordCoordinates> record)
        throws IOException, InterruptedException;
  }

  private final Presign presign;
  private final HttpSource http;

  /** With the reader's default timeouts: 5 s for a connection, 60 s of silence. */
  public PresignedSource(Presign presign) {
    this(presign, Duration.ofSeconds(5), Duration.ofSeconds(60));
  }

  /** With these timeouts: for a connection, and how long the store may send nothing. */
  public PresignedSource(Presign presign, Duration connectTimeout, Duration readTimeout) {
    this.presign = Objects.requireNonNull(presign, "presign");
    http = new HttpSource(connectTimeout, readTimeout);
  }

  @Override
  public BlobAnswer get(BlobRequest request) throws IOException, InterruptedException {
    return http.get(presign.url(request.envelope(), request.record()), request.headers());
  }

  @Override
  public void close() {
    http.close();
  }
}
