package io.github.lfsproxy.client;

/** The store says no: credentials, permissions or the bucket's name are wrong. */
public final class StoreRefusedException extends LfsException {
  private static final long serialVersionUID = 1L;

  StoreRefusedException(String message, Throwable cause) {
    super("store-refused", message, cause);
  }
}
