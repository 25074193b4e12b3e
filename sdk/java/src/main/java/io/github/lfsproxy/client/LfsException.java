package io.github.lfsproxy.client;

/**
 * The base of all errors of this library. The message is one sentence for the person who reads the
 * log.
 */
public class LfsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final String name;

  LfsException(String name, String message, Throwable cause) {
    super(message, cause);
    this.name = name;
  }

  /**
   * The stable name of this kind of error, the same in every language: blob-missing, for example.
   */
  public String name() {
    return name;
  }

  /** Whether the same may succeed later with nothing changed. */
  public boolean retriable() {
    return false;
  }
}
