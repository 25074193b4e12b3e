package io.github.lfsproxy.client;

/** A read was broken off in its middle, so that bytes may be lost: the stream cannot be read on. */
public final class ReadInterruptedException extends LfsException {
  private static final long serialVersionUID = 1L;

  ReadInterruptedException(String message, Throwable cause) {
    super("read-interrupted", message, cause);
  }
}
