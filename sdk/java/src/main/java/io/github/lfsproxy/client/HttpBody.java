package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.http.HttpResponse.BodySubscriber;
import java.net.http.HttpTimeoutException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * An answer's body as a stream whose reads an interrupt ends at once, with the thread's flag kept,
 * and silence after a time. A close before the end gives up the connection.
 *
 * <p>The JDK's own stream knows no time limit.
 */
final class HttpBody extends InputStream implements BodySubscriber<HttpBody> {
  /** Chunks (of some 16 KiB) that may be under way, so that the socket is read meanwhile. */
  private static final int AHEAD = 8;

  private final Object lock = new Object();
  private final Duration patience;
  private final Consumer<HttpBody> onEnd;
  private final LinkedBlockingQueue<Chunk> received = new LinkedBlockingQueue<>();
  private final Deque<ByteBuffer> buffers = new ArrayDeque<>();
  private Flow.Subscription subscription;
  private boolean cancelled;
  private volatile boolean ended;
  private IOException failure;

  /** Some bytes, or (with none) the end, or a failure. */
  private static final class Chunk {
    final List<ByteBuffer> buffers;
    final Throwable failure;

    Chunk(List<ByteBuffer> buffers, Throwable failure) {
      this.buffers = buffers;
      this.failure = failure;
    }
  }

  /** {@code onEnd} is called when no more will come; maybe more than once. */
  HttpBody(Duration patience, Consumer<HttpBody> onEnd) {
    this.patience = patience;
    this.onEnd = onEnd;
  }

  @Override
  public CompletionStage<HttpBody> getBody() {
    return CompletableFuture.completedFuture(this);
  }

  @Override
  public void onSubscribe(Flow.Subscription given) {
    boolean wanted;
    synchronized (lock) {
      subscription = given;
      wanted = !cancelled;
    }
    if (wanted) {
      given.request(AHEAD);
    } else {
      given.cancel();
    }
  }

  @Override
  public void onNext(List<ByteBuffer> item) {
    received.add(new Chunk(item, null));
  }

  @Override
  public void onError(Throwable error) {
    received.add(new Chunk(List.of(), error));
    onEnd.accept(this);
  }

  @Override
  public void onComplete() {
    received.add(new Chunk(List.of(), null));
    onEnd.accept(this);
  }

  @Override
  public int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] target, int offset, int length) throws IOException {
    Objects.checkFromIndexSize(offset, length, target.length);
    if (length == 0) {
      return 0;
    }
    if (!fill()) {
      return -1;
    }
    int count = 0;
    while (count < length && !buffers.isEmpty()) {
      ByteBuffer buffer = buffers.peek();
      int part = Math.min(buffer.remaining(), length - count);
      buffer.get(target, offset + count, part);
      count += part;
      if (!buffer.hasRemaining()) {
        buffers.remove();
      }
    }
    return count;
  }

  /** Makes sure that there are bytes; false at the end. */
  private boolean fill() throws IOException {
    while (buffers.isEmpty()) {
      if (failure != null) {
        throw new IOException(failure.getMessage(), failure);
      }
      if (ended) {
        return false;
      }
      Chunk chunk = next();
      if (chunk.failure != null) {
        throw fail(new IOException(chunk.failure.getMessage(), chunk.failure));
      }
      ended = chunk.buffers.isEmpty();
      for (ByteBuffer buffer : chunk.buffers) {
        if (buffer.hasRemaining()) {
          buffers.add(buffer);
        }
      }
      if (!ended) {
        subscription.request(1);
      }
    }
    return true;
  }

  private Chunk next() throws IOException {
    try {
      Chunk chunk = received.poll(patience.toNanos(), TimeUnit.NANOSECONDS);
      if (chunk == null) {
        throw fail(new HttpTimeoutException("nothing came for " + patience.toMillis() + " ms"));
      }
      return chunk;
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      InterruptedIOException interrupted = new InterruptedIOException("interrupted");
      interrupted.initCause(error);
      throw fail(interrupted);
    }
  }

  private IOException fail(IOException error) {
    failure = error;
    cancel();
    return error;
  }

  /** Lets go of the connection, from any thread; a read that waits ends in an error. */
  void abandon(String why) {
    cancel();
    received.add(new Chunk(List.of(), new IOException(why)));
  }

  private void cancel() {
    Flow.Subscription given;
    synchronized (lock) {
      cancelled = true;
      given = subscription;
    }
    if (given != null) {
      given.cancel();
    }
    onEnd.accept(this);
  }

  @Override
  public void close() {
    if (!ended) {
      fail(new IOException("the answer is closed"));
    }
    buffers.clear();
  }
}
