package io.github.lfsproxy.client;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** How often and how long a blob is asked for. */
final class Retry {
  /** Of one pause, unless the first one is longer. */
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);

  private final int tries;
  private final Duration pause;
  private final Duration time;

  /**
   * How a reader tries again.
   *
   * @param tries GETs in a row without one byte of progress
   * @param pause before the second try; doubled with each, with jitter, up to 5 s
   * @param time no try begins later than this after the last progress; zero: no limit
   */
  Retry(int tries, Duration pause, Duration time) {
    this.tries = tries;
    this.pause = pause;
    this.time = time;
  }

  /** The pause after so many failures in a row; null: there is no further try. */
  Duration after(int failures, Duration sinceProgress) {
    if (failures >= tries) {
      return null;
    }
    long first = pause.toMillis();
    double doubled = first * Math.pow(2, failures - 1);
    long longest = (long) Math.min(Math.max(LONGEST_PAUSE.toMillis(), first), doubled);
    Duration chosen =
        Duration.ofMillis(ThreadLocalRandom.current().nextLong(longest / 2, longest + 1));
    boolean late = !time.isZero() && sinceProgress.plus(chosen).compareTo(time) > 0;
    return late ? null : chosen;
  }
}
