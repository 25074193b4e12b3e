package io.github.lfsproxy.client;

import java.time.Duration;

/** Waits between two tries, and tells the time. */
interface Sleeper {
  void sleep(Duration time) throws InterruptedException;

  /** As System.nanoTime. */
  default long nanoTime() {
    return System.nanoTime();
  }
}
