package io.github.lfsproxy.client;

/** The store did not answer, or stopped answering, after the reader's own tries. */
public final class StoreUnavailableException extends LfsException {
  private static final long serialVersionUID = 1L;

  StoreUnavailableException(String message, Throwable cause) {
    super("store-unavailable", message, cause);
  }

  @Override
  public boolean retriable() {
    return true;
  }
}
