package io.github.lfsproxy.client;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * Values in their order, whose blobs are fetched some at a time, ahead of their turn. Made by
 * {@link LfsReader#resolveAll}; for one thread, and to be gone through once. Close it: that ends
 * the fetches that nobody will ask for.
 *
 * @param <T> what the values came in, as a Kafka record
 */
public final class Prefetched<T> implements Iterable<Prefetched.Entry<T>>, AutoCloseable {
  private final Object lock = new Object();
  private final LfsReader reader;
  private final Prefetch bounds;
  private final List<Slot<T>> slots = new ArrayList<>();
  private final ExecutorService threads;
  private int started;
  private int handed;
  private int running;
  private long held;
  private boolean closed;

  Prefetched(
      LfsReader reader,
      Iterable<? extends T> items,
      Function<? super T, byte[]> value,
      Function<? super T, ReadOptions> options,
      Prefetch bounds) {
    this.reader = reader;
    this.bounds = bounds;
    for (T item : items) {
      byte[] bytes = value.apply(item);
      slots.add(new Slot<>(item, bytes, options.apply(item), reader.wholeLength(bytes)));
    }
    threads = threads(bounds.concurrency());
    synchronized (lock) {
      startMore();
    }
  }

  /** Daemons that end when there is nothing to do. */
  private static ExecutorService threads(int count) {
    ThreadPoolExecutor threads =
        new ThreadPoolExecutor(
            count,
            count,
            1,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            work -> {
              Thread thread = new Thread(work, "lfs-prefetch");
              thread.setDaemon(true);
              return thread;
            });
    threads.allowCoreThreadTimeOut(true);
    return threads;
  }

  /** Begins what the bounds allow, in order. The record whose turn it is always may go. */
  private void startMore() {
    while (!closed && started < slots.size()) {
      Slot<T> slot = slots.get(started);
      if (slot.length < 0) {
        slot.run(reader); // Nothing to fetch.
      } else if (running < bounds.concurrency()
          && (started == handed || slot.length <= bounds.maxBytes() - held)) {
        running++;
        held += slot.length;
        threads.execute(() -> fetch(slot));
      } else {
        return;
      }
      started++;
    }
    if (started == slots.size()) {
      threads.shutdown();
    }
  }

  private void fetch(Slot<T> slot) {
    slot.run(reader);
    synchronized (lock) {
      running--;
      startMore();
      lock.notifyAll();
    }
  }

  /** The values in their order. Each is waited for in its turn. */
  @Override
  public Iterator<Entry<T>> iterator() {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        synchronized (lock) {
          return handed < slots.size();
        }
      }

      @Override
      public Entry<T> next() {
        return Prefetched.this.next();
      }
    };
  }

  private Entry<T> next() {
    synchronized (lock) {
      if (handed == slots.size()) {
        throw new NoSuchElementException();
      }
      Slot<T> slot = slots.get(handed);
      try {
        while (!closed && slot.entry == null) {
          lock.wait();
        }
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
        close();
        throw new ReadInterruptedException("the wait for a blob was interrupted", error, true);
      }
      if (closed) {
        throw new IllegalStateException("the prefetched values are closed");
      }
      slots.set(handed, null);
      handed++;
      held -= Math.max(slot.length, 0);
      startMore();
      return slot.entry;
    }
  }

  /** Ends the fetches that are under way. What was handed over stays as it is. */
  @Override
  public void close() {
    synchronized (lock) {
      closed = true;
      threads.shutdownNow();
      lock.notifyAll();
    }
  }

  /** A value and what it was resolved to, or why not. */
  public static final class Entry<T> {
    private final T item;
    private final Resolved resolved;
    private final LfsException error;

    private Entry(T item, Resolved resolved, LfsException error) {
      this.item = item;
      this.resolved = resolved;
      this.error = error;
    }

    /** What the value came in. */
    public T item() {
      return item;
    }

    /**
     * What came of the value.
     *
     * @throws LfsException where it could not be resolved, as {@link LfsReader#resolve} does
     */
    public Resolved resolved() {
      if (error != null) {
        throw error;
      }
      return resolved;
    }

    /** The blob, or the ordinary value. Throws as {@link #resolved} does. */
    public byte[] value() {
      return resolved().value();
    }

    /** Why the value could not be resolved; the others are not affected. */
    public Optional<LfsException> error() {
      return Optional.ofNullable(error);
    }
  }

  /** One value on its way. */
  private static final class Slot<T> {
    final T item;
    final byte[] value;
    final ReadOptions options;
    final long length;
    volatile Entry<T> entry;

    Slot(T item, byte[] value, ReadOptions options, long length) {
      this.item = item;
      this.value = value;
      this.options = options;
      this.length = length;
    }

    void run(LfsReader reader) {
      Entry<T> made;
      try {
        made = new Entry<>(item, reader.resolve(value, options), null);
      } catch (LfsException error) {
        made = new Entry<>(item, null, error);
      } catch (RuntimeException | Error error) {
        made =
            new Entry<>(
                item,
                null,
                new ReadInterruptedException("the read was broken off: " + error, error, false));
      }
      entry = made;
    }
  }
}
