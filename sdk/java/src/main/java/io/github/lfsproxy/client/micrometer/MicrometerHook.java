package io.github.lfsproxy.client.micrometer;

import io.github.lfsproxy.client.RecordCoordinates;
import io.github.lfsproxy.client.Resolution;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Metrics;
import io.micrometer.core.instrument.Timer;
import java.time.Duration;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.stream.LongStream;

/**
 * Counts reads with Micrometer. In Prometheus' names: {@code lfs_client_reads_total{topic,result}},
 * {@code lfs_client_read_bytes_total{topic}} and the histogram {@code lfs_client_read_seconds}.
 *
 * <pre>{@code
 * LfsReader.builder().onResolve(new MicrometerHook(registry))
 * lfs.on.resolve=io.github.lfsproxy.client.micrometer.MicrometerHook
 * }</pre>
 *
 * <p>Needs io.micrometer:micrometer-core, which this library does not bring.
 */
public final class MicrometerHook implements Consumer<Resolution> {
  /** From what a small blob takes to what a large one over a slow link does. In milliseconds. */
  private static final long[] BUCKETS = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000
  };

  private final MeterRegistry registry;
  private final Timer seconds;

  /** In Micrometer's global registry. */
  public MicrometerHook() {
    this(Metrics.globalRegistry);
  }

  /** In this registry. */
  public MicrometerHook(MeterRegistry registry) {
    this.registry = Objects.requireNonNull(registry, "registry");
    seconds =
        Timer.builder("lfs.client.read")
            .description("How long reads of blobs took, the reader's own time included")
            .serviceLevelObjectives(
                LongStream.of(BUCKETS).mapToObj(Duration::ofMillis).toArray(Duration[]::new))
            .register(registry);
  }

  @Override
  public void accept(Resolution resolution) {
    String topic = resolution.record().map(RecordCoordinates::topic).orElse("");
    Counter.builder("lfs.client.reads")
        .description("Envelopes that were resolved, by what came of them")
        .tag("topic", topic)
        .tag("result", resolution.result())
        .register(registry)
        .increment();
    Counter.builder("lfs.client.read.bytes")
        .description("Bytes of blobs that were received")
        .baseUnit("bytes")
        .tag("topic", topic)
        .register(registry)
        .increment((double) resolution.size());
    seconds.record(Duration.ofNanos((long) (resolution.seconds() * 1e9)));
  }
}
