package io.github.lfsproxy.client;

/**
 * A read was broken off in its middle, so that bytes may be lost: this stream cannot be read on.
 * Either its thread was interrupted (then the thread's flag is set, and {@link #cancelled} true),
 * or something that is not this library's was thrown in it.
 */
public final class ReadInterruptedException extends LfsException {
  private static final long serialVersionUID = 1L;

  private final boolean cancelled;

  ReadInterruptedException(String message, Throwable cause, boolean cancelled) {
    super("read-interrupted", message, cause);
    this.cancelled = cancelled;
  }

  /** Whether the thread was interrupted. */
  public boolean cancelled() {
    return cancelled;
  }

  @Override
  public boolean retriable() {
    return true;
  }
}
