package io.github.lfsproxy.client;

import java.time.Duration;

/** Waits between two tries. */
interface Sleeper {
  void sleep(Duration time) throws InterruptedException;
}
